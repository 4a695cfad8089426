"""Names of spans and attributes.

Those of OpenTelemetry's semantic conventions where they have one (`http.*`, `url.*`, `server.*`,
`error.type`, `service.*` from the library's own constants); ours begin with `tenantry.`. None of
them ever holds a text, an image, a label or a key.
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

PREPARE = "prepare"
QUEUE = "queue"
COMPUTE = "compute"
BATCH = "batch"
LOAD = "bank.load"
WRITE = "log.write"

# The conventions for RPC are not stable yet: the library has them under a name of its own insides.
RPC_SYSTEM_NAME = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code"

REQUEST_ID = "tenantry.request_id"
TENANT = "tenantry.tenant"
ADAPTER = "tenantry.adapter"
VERSION = "tenantry.version"
DIGEST = "tenantry.digest"
ROLE = "tenantry.role"
PROBLEM = "tenantry.problem"  # the code of a refusal or a failure
LEFT = "tenantry.client_left"
INPUTS = "tenantry.inputs"
TOKENS = "tenantry.tokens"
LOAD_SECONDS = "tenantry.load.seconds"
LOG_ROWS = "tenantry.log.rows"
BUNDLE = "tenantry.bundle.digest"

BATCH_TEXTS = "tenantry.batch.texts"
BATCH_TOKENS = "tenantry.batch.tokens"
BATCH_FILL = "tenantry.batch.fill_ratio"
BATCH_ADAPTERS = "tenantry.batch.adapters"
BATCH_TRACED = "tenantry.batch.traced_requests"
BATCH_PROVIDER = "tenantry.batch.provider"
BATCH_PRECISION = "tenantry.batch.precision"
