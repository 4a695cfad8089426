// Which report is shown, how old it is, and what is drawn again when it changes.

const REFRESH_MS = 5000;
const OLD_S = 30; // without an answer; then the page says so
const LATE_S = 60; // behind the log

const source = sourceOfPage();
const memory = {
  fleet: { search: "", states: new Set(), order: "worst", all: false },
  projection: {},
};
const now = {
  fleet: null,
  adapter: null,
  path: null,
  problem: null,
  needsKey: null,
  answeredMs: 0,
  madeMs: 0,
};
const place = (id) => document.getElementById(id);
let asking = null; // what is being asked for
let paused = false;

function route() {
  const parts = location.hash.startsWith("#/") ? location.hash.slice(2).split("/") : [];
  const names = parts.map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const [tenant, adapter, version, role, window] = names;
  if (!tenant || !adapter) return { tenant: null };
  return { tenant, adapter, version, role, window };
}

const pathOf = (asked) => (asked.tenant === null ? "" : `${asked.tenant}/${asked.adapter}`);

async function ask() {
  const asked = route();
  const path = pathOf(asked);
  if (asking !== null && asking.path === path) return;
  const mine = { path };
  asking = mine;
  const before = [now.fleet, now.adapter, now.path, now.problem, now.needsKey];
  try {
    const fleet = await source.fleet(asked.tenant);
    const adapter =
      asked.tenant === null ? null : await source.adapter(asked.tenant, asked.adapter);
    if (asking !== mine) return; // the reader has gone elsewhere
    const answeredMs = performance.now();
    if (now.fleet === null || now.fleet.made_s !== fleet.made_s) now.madeMs = answeredMs;
    Object.assign(now, { fleet, adapter, path, problem: null, needsKey: null, answeredMs });
  } catch (error) {
    if (asking !== mine) return;
    if (error instanceof KeyNeeded) {
      Object.assign(now, {
        fleet: null,
        adapter: null,
        path,
        needsKey: { told: error.message },
        problem: null,
      });
    } else if (error instanceof NotThere) {
      Object.assign(now, {
        fleet: null,
        adapter: null,
        path,
        needsKey: null,
        problem: { gone: error.message },
      });
    } else {
      now.problem = { text: error.name === "TimeoutError" ? "no answer" : error.message };
      if (now.path !== path) Object.assign(now, { fleet: null, adapter: null, path });
    }
  } finally {
    if (asking === mine) asking = null;
  }
  const after = [now.fleet, now.adapter, now.path, now.problem, now.needsKey];
  if (after.some((item, index) => item !== before[index])) render();
  else age();
}

function askWith(key) {
  source.remember(key);
  asking = null; // an answer to the key before is none any more
  ask();
}

// What the reader is in the middle of stays as it is: the field with the cursor, what is folded
// open, and a text that is being marked.
function render() {
  const main = place("main");
  const selection = document.getSelection();
  const marking = selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  if (marking && now.path === main.dataset.path) return;
  const open = new Set([...main.querySelectorAll("details[open]")].map((item) => item.id));
  const scrolled = [...main.querySelectorAll(".scroll")].map((item) => [
    item.id,
    item.scrollLeft,
    item.scrollTop,
  ]);
  const focused =
    document.activeElement && main.contains(document.activeElement)
      ? document.activeElement.id
      : "";
  const caret = focused === "search" ? place("search").selectionStart : null;
  const elsewhere = main.dataset.path !== (now.path ?? "");
  main.dataset.path = now.path ?? "";
  main.replaceChildren(...view().flat(Infinity).filter(Boolean));
  for (const item of main.querySelectorAll("details")) item.open = open.has(item.id);
  if (focused && place(focused)) {
    place(focused).focus({ preventScroll: true });
    if (caret !== null) place("search").setSelectionRange(caret, caret);
  }
  drawCharts();
  if (elsewhere) scrollTo(0, 0);
  else for (const [id, left, top] of scrolled) place(id)?.scrollTo(left, top);
  place("pause").hidden = !source.live || now.needsKey !== null;
  place("forget").hidden = !source.key() || now.needsKey !== null;
  age();
}

function view() {
  const asked = route();
  document.title =
    asked.tenant === null
      ? "Tenantry monitor"
      : `${asked.tenant}/${asked.adapter} · Tenantry monitor`;
  if (now.needsKey !== null) return [keyForm(now.needsKey.told)];
  if (now.fleet === null) {
    if (now.problem && now.problem.gone) {
      const back = h("a", { class: "back", href: "#/" }, "All adapters");
      return [back, h("h1", null, "Not here"), h("p", { class: "empty" }, now.problem.gone)];
    }
    return [h("p", { class: "empty" }, now.problem ? "" : "Asking the sidecar…")];
  }
  if (asked.tenant === null) return fleetView(now.fleet, memory.fleet, source);
  if (now.adapter === null) return [];
  return adapterView(now.adapter, asked, now.fleet.made_s, memory.projection);
}

function keyForm(told) {
  const wrong = source.key() !== null;
  const input = h("input", {
    type: "password",
    id: "key",
    autocomplete: "off",
    required: true,
    "aria-describedby": "key-told",
  });
  const form = h(
    "form",
    {
      class: "key",
      onsubmit: (event) => {
        event.preventDefault();
        askWith(input.value.trim());
      },
    },
    h("h1", null, "A key is needed"),
    h(
      "p",
      { id: "key-told", class: wrong ? "wrong" : null },
      wrong
        ? `That key was not taken: ${told}.`
        : "An admin key shows everything, a tenant's key that tenant. It stays in this tab until " +
            "it is closed.",
    ),
    h("label", { for: "key" }, "Key"),
    input,
    h("button", { type: "submit" }, "Show the figures"),
  );
  return form;
}

function banners() {
  const told = [];
  if (now.fleet !== null) {
    const { log } = now.fleet;
    if (known(log.lag_s) && log.lag_s > LATE_S) {
      const waiting = known(log.backlog_bytes)
        ? `; ${bytes(log.backlog_bytes)} wait in ${plural(log.backlog_segments, "segment")}`
        : "";
      told.push([
        "warning",
        `The sidecar is ${duration(log.lag_s)} behind the log${waiting}. Figures are as of then.`,
      ]);
    }
    if (log.missing)
      told.push([
        "warning",
        `${plural(log.missing, "event")} went missing from the log before they were read: ` +
          "figures lack them.",
      ]);
    const stillMs = performance.now() - now.madeMs;
    if (source.live && !paused && !now.problem && stillMs > 1000 * LATE_S) {
      told.push([
        "warning",
        `The sidecar answers, but has made no new figures for ${duration(stillMs / 1000)}.`,
      ]);
    }
    for (const problem of now.fleet.problems) told.push(["warning", problem]);
  }
  if (now.problem && now.problem.text)
    told.push(["alarm", `The sidecar cannot be asked: ${now.problem.text}.`]);
  // It is read aloud when it changes, and only then.
  const text = JSON.stringify(told);
  if (place("banners").dataset.told === text) return;
  place("banners").dataset.told = text;
  place("banners").replaceChildren(
    ...told.map(([state, text]) =>
      h("div", { class: `banner ${state}` }, stateMark(state), h("p", null, text)),
    ),
  );
}

function age() {
  const box = place("age");
  banners();
  if (now.fleet === null) {
    box.replaceChildren();
    return;
  }
  const made = time(now.fleet.made_s, now.fleet.made_s);
  if (!source.live) {
    box.replaceChildren("report of ", time(now.fleet.made_s, 0));
    return;
  }
  const seconds = (performance.now() - now.answeredMs) / 1000;
  box.classList.toggle("old", seconds > OLD_S && !paused);
  box.replaceChildren(
    h("span", { class: "beat", "aria-hidden": "true" }),
    "as of ",
    made,
    h("span", { class: "since" }, paused ? ", paused" : `, ${duration(seconds)} ago`),
  );
}

function foot() {
  const { fleet } = now;
  if (fleet === null) return [];
  const { log } = fleet;
  const parts = [`Tenantry ${fleet.version}`];
  if (known(log.events)) {
    parts.push(
      `${plural(log.events, "event")} read, ${count(log.damaged)} damaged, ` +
        `${count(log.missing)} missing, ${count(log.late)} late`,
    );
  }
  return [parts.join(" · "), " · times are of your zone, UTC on hover"];
}

async function refresh() {
  // Who is typing a key asks by giving it.
  if (document.hidden || now.needsKey !== null) return;
  await ask();
  place("foot").replaceChildren(...foot());
}

function pause() {
  paused = !paused;
  place("pause").textContent = paused ? "Resume" : "Pause";
  if (!paused) refresh();
  age();
}

function begin() {
  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.startsWith("#/")) return;
    if (pathOf(route()) === now.path) render();
    else refresh();
  });
  place("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds which report is shown
    place("main").focus();
  });
  new ResizeObserver(drawCharts).observe(place("main"));
  // What is folded open has had no width so far.
  place("main").addEventListener("toggle", drawCharts, true);
  if (source.live) {
    place("pause").addEventListener("click", pause);
    place("forget").addEventListener("click", () => {
      askWith(null);
    });
    setInterval(() => paused || refresh(), REFRESH_MS);
    setInterval(age, 1000);
    document.addEventListener("visibilitychange", refresh);
  }
  render();
  refresh();
}

begin();
