// Where reports come from: the sidecar that served this page, or the page itself.

const KEY = "tenantry.key"; // in the session's storage: gone with the tab, seen by no other site
const TIMEOUT_MS = 30000;
const KEPT_MAX = 8;

class KeyNeeded extends Error {}
class NotThere extends Error {}

class LiveSource {
  constructor() {
    this.live = true;
    this.kept = new Map();
  }

  fleet(tenant) {
    return this.get(tenant ? `/v1/report/${encodeURIComponent(tenant)}` : "/v1/report");
  }

  adapter(tenant, adapter) {
    const path = `/v1/report/${encodeURIComponent(tenant)}/${encodeURIComponent(adapter)}`;
    return this.get(path);
  }

  has() {
    return true;
  }

  async get(path) {
    const headers = { Accept: "application/json" };
    const key = this.key();
    if (key) headers.Authorization = `Bearer ${key}`;
    const before = this.kept.get(path);
    if (before) headers["If-None-Match"] = before.tag;
    const answer = await fetch(path, {
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.status === 304 && before) return before.document;
    if (!answer.ok) throw await this.refusal(answer);
    const report = await answer.json();
    this.keep(path, answer.headers.get("etag"), report);
    return report;
  }

  async refusal(answer) {
    let detail = `status ${answer.status}`;
    try {
      detail = (await answer.json()).detail || detail;
    } catch {
      // Something between the sidecar and here has answered; its status is all there is to tell.
    }
    if (answer.status === 401) return new KeyNeeded(detail);
    if (answer.status === 404) return new NotThere(detail);
    return new Error(detail);
  }

  keep(path, tag, report) {
    this.kept.delete(path);
    if (tag) this.kept.set(path, { tag, document: report });
    if (this.kept.size > KEPT_MAX) this.kept.delete(this.kept.keys().next().value);
  }

  key() {
    return sessionStorage.getItem(KEY);
  }

  remember(key) {
    this.kept.clear();
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  }
}

class EmbeddedSource {
  constructor(embedded) {
    this.live = false;
    this.leftOut = embedded.left_out;
    this.whole = embedded.fleet;
    this.adapters = new Map(
      embedded.adapters.map((report) => [`${report.tenant}/${report.adapter}`, report]),
    );
  }

  async fleet() {
    return this.whole;
  }

  async adapter(tenant, adapter) {
    const found = this.adapters.get(`${tenant}/${adapter}`);
    if (found === undefined) throw new NotThere("this report has no more of it than its line");
    return found;
  }

  has(tenant, adapter) {
    return this.adapters.has(`${tenant}/${adapter}`);
  }

  key() {
    return null;
  }
}

function sourceOfPage() {
  const embedded = JSON.parse(document.getElementById("embedded").textContent);
  return embedded === null ? new LiveSource() : new EmbeddedSource(embedded);
}
