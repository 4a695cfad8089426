# Three images: `service` (default extras: openvino and grpc; no torch inside), `exporter`,
# `monitoring`.
#
#   docker build --target service -t tenantry-service .
#   docker run -p 8000:8000 -e TENANTRY_ADMIN_KEY=... -v ./bundle:/bundle:ro -v tenantry:/state \
#     tenantry-service
#
# Under buildah add --format docker, or the health check is left out.
# A build may be told another package index, say one with CPU builds of torch:
# --build-arg PIP_EXTRA_INDEX_URL=... ; on a GPU host build with --build-arg EXTRAS=gpu,grpc.

FROM python:3.11-slim AS runtime
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --home-dir /tmp tenantry \
 && install --directory --owner=tenantry --mode=0700 /state


FROM python:3.11-slim AS build
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
RUN python -m venv /opt/venv


FROM build AS build-service
ARG EXTRAS=openvino,grpc
COPY service service
RUN /opt/venv/bin/pip install -c requirements.lock ".[$EXTRAS]" \
 && find /opt/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} + \
 && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM runtime AS service
COPY --from=build-service /opt/venv /opt/venv
# Any address: inside a container loopback would reach nobody. The service then insists on a key.
ENV TENANTRY_BUNDLE=/bundle \
    TENANTRY_STATE=/state \
    TENANTRY_HOST=0.0.0.0 \
    TENANTRY_PORT=8000
EXPOSE 8000
VOLUME /state
USER tenantry
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "\
import http.client, os, sys;\
service = http.client.HTTPConnection('127.0.0.1', int(os.environ['TENANTRY_PORT']), timeout=4);\
service.request('GET', '/livez');\
sys.exit(service.getresponse().status != 200)"]
ENTRYPOINT ["tenantry", "serve"]


FROM build AS build-monitoring
COPY service service
COPY monitoring monitoring
RUN /opt/venv/bin/pip install -c requirements.lock ".[monitor]" \
 && find /opt/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} + \
 && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM runtime AS monitoring
COPY --from=build-monitoring /opt/venv /opt/venv
ENV TENANTRY_STATE=/state
VOLUME /state
USER tenantry
ENTRYPOINT ["tenantry"]
CMD ["monitor"]


FROM build AS build-exporter
COPY service service
COPY exporter exporter
RUN /opt/venv/bin/pip install -c requirements.lock ".[export]"

FROM runtime AS exporter
COPY --from=build-exporter /opt/venv /opt/venv
# Where models from a hub are kept; mount a folder there to keep them between runs.
ENV HF_HOME=/tmp/huggingface
USER tenantry
WORKDIR /work
ENTRYPOINT ["tenantry", "export"]
