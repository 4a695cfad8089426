// All adapters, worst first.

const LINES_SHOWN = 100;
const EFFECT_SHOWN = 4; // times the tolerance; what is beyond is an arrow

const by = (read) => (a, b) => {
  const [first, second] = [read(a), read(b)];
  if (!known(first)) return known(second) ? 1 : 0;
  return known(second) ? second - first : -1;
};

const ORDERS = {
  worst: ["worst first", null],
  name: ["name", (a, b) => nameOf(a).localeCompare(nameOf(b))],
  drift: ["drift", by((line) => line.effect.value)],
  calibration: ["calibration error", by((line) => line.calibration_error.value)],
  accuracy: [
    "accuracy, lowest first",
    by((line) => (known(line.accuracy.value) ? -line.accuracy.value : null)),
  ],
  predictions: ["predictions", by((line) => line.predictions)],
  last: ["last prediction", by((line) => line.last_s)],
};

const nameOf = (line) => `${line.tenant}/${line.adapter}`;

function fleetView(report, memory, source) {
  const list = h("div", { id: "lines" });
  const update = () => {
    list.replaceChildren(...fleetLines(report, memory, source, update));
  };
  update();
  return [
    h(
      "h1",
      null,
      report.adapters.length === 1 ? "1 adapter" : `${count(report.adapters.length)} adapters`,
    ),
    fleetReading(report),
    controls(report, memory, update),
    list,
    leftOut(source),
    report.triggers.length
      ? card("Retrain triggers", 12, triggerTable(report.triggers, report.made_s, true))
      : null,
  ];
}

function fleetReading(report) {
  const { fleet } = report;
  if (fleet === null) return null;
  const facts = [
    `${count(fleet.moved)} of ${count(fleet.watched)} with a drift alarm`,
    `budget ${plural(fleet.budget_per_week, "false alarm")} a week`,
    known(fleet.evidence_log10)
      ? `evidence that all moved ${fixed(fleet.evidence_log10, 1)} (log\u2081\u2080)`
      : null,
  ].filter(Boolean);
  return h(
    "p",
    { class: `fleet-reading ${fleet.alarm ? "alarm" : ""}`, id: "fleet" },
    fleet.alarm ? stateMark("alarm") : null,
    h("strong", null, fleet.reading),
    h("span", { class: "facts" }, facts.join(" · ")),
  );
}

function controls(report, memory, update) {
  const states = STATES.map((state) => {
    const number = report.adapters.filter((line) => line.state === state).length;
    const button = h(
      "button",
      {
        type: "button",
        id: `only-${state}`,
        class: "chip",
        "aria-pressed": String(memory.states.has(state)),
        onclick: () => {
          if (!memory.states.delete(state)) memory.states.add(state);
          button.setAttribute("aria-pressed", String(memory.states.has(state)));
          update();
        },
      },
      stateMark(state),
      `${count(number)} ${STATE_WORDS[state]}`,
    );
    return button;
  });
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "tenant or adapter",
    value: memory.search,
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Search tenant or adapter",
    oninput: () => {
      memory.search = search.value;
      update();
    },
  });
  const order = h(
    "select",
    {
      id: "order",
      onchange: () => {
        memory.order = order.value;
        update();
      },
    },
    Object.entries(ORDERS).map(([name, [text]]) =>
      h("option", { value: name, selected: name === memory.order }, text),
    ),
  );
  return h(
    "div",
    { class: "controls" },
    h("div", { class: "chips", role: "group", "aria-label": "Show only" }, states),
    h("div", { class: "finders" }, search, h("label", { class: "order" }, "order ", order)),
  );
}

function chosen(report, memory) {
  const asked = memory.search.trim().toLowerCase();
  const lines = report.adapters.filter(
    (line) =>
      (memory.states.size === 0 || memory.states.has(line.state)) &&
      (asked === "" || nameOf(line).toLowerCase().includes(asked)),
  );
  const compare = ORDERS[memory.order][1];
  return compare === null ? lines : lines.sort(compare);
}

function fleetLines(report, memory, source, update) {
  const lines = chosen(report, memory);
  if (!report.adapters.length) {
    return [
      h(
        "p",
        { class: "empty" },
        "No predictions are in the log yet. Adapters appear here with their first one.",
      ),
    ];
  }
  if (!lines.length)
    return [h("p", { class: "empty" }, "No adapter is called so, or is in that state.")];
  const drawn = memory.all ? lines : lines.slice(0, LINES_SHOWN);
  const more = lines.length - drawn.length;
  const showAll = h(
    "button",
    {
      type: "button",
      id: "show-all",
      onclick: () => {
        memory.all = true;
        update();
      },
    },
    `Show ${count(more)} more`,
  );
  return [fleetTable(drawn, report.made_s, source), more ? h("p", null, showAll) : null].filter(
    Boolean,
  );
}

const COLUMNS = [
  ["State", ""],
  ["Adapter", ""],
  ["Drift over tolerance", ""],
  ["Calibration error", "number"],
  ["Accuracy", "number"],
  ["Labels", "number"],
  ["Predictions", "number"],
  ["Last", "number"],
];

// Roles are given by name because a narrow screen shows the rows as cards, and a table that is
// laid out as something else would lose them.
function fleetTable(lines, now, source) {
  const head = COLUMNS.map(([name, kind]) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  return h(
    "table",
    { class: "fleet", role: "table", "aria-label": "Adapters" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h(
      "tbody",
      { role: "rowgroup" },
      lines.map((line) => fleetLine(line, now, source)),
    ),
  );
}

function fleetLine(line, now, source) {
  const name = [h("span", { class: "tenant" }, `${line.tenant}/`), line.adapter];
  const address = `#/${encodeURIComponent(line.tenant)}/${encodeURIComponent(line.adapter)}`;
  const title = source.has(line.tenant, line.adapter)
    ? h("a", { href: address, id: address.slice(1) }, name)
    : h("span", null, name);
  const role = line.role === "live" ? "" : ` ${line.role}`;
  const standing = line.standing === line.role ? "" : `, ${line.standing}`;
  const borrowed =
    line.reference === "pooled"
      ? ", pooled reference"
      : line.reference === "none"
        ? ", no reference"
        : "";
  const which = h("span", { class: "which" }, `v${line.version}${role}${standing}${borrowed}`);
  const cell = (label, kind, ...children) =>
    h("td", { role: "cell", class: kind, "data-label": label }, children);
  return h(
    "tr",
    { role: "row", class: "adapter", "data-state": line.state },
    cell("State", "of-state", stateWord(line.state)),
    h(
      "th",
      { role: "rowheader", scope: "row", class: "of-name" },
      title,
      " ",
      which,
      h("span", { class: "why" }, line.why),
    ),
    cell("Drift", "of-drift", effectCell(line.effect)),
    cell("Calibration", "number", brief(line.calibration_error, percent)),
    cell("Accuracy", "number", accuracyCell(line)),
    cell("Labels", "number", compact(line.labels)),
    cell("Predictions", "number", compact(line.predictions)),
    cell("Last", "number of-last", ago(line.last_s, now)),
  );
}

function effectCell(effect) {
  if (!known(effect.value)) return brief(effect, times);
  return [whisker(effect, 0, EFFECT_SHOWN, 92, 1), brief(effect, times)];
}

// Accuracy by labels where there are enough; else the estimate, and it says so.
function accuracyCell(line) {
  if (known(line.accuracy.value)) return brief(line.accuracy, percent);
  if (!known(line.estimated.value)) return brief(line.accuracy, percent);
  return [brief(line.estimated, percent), h("span", { class: "which" }, " estimated")];
}

function leftOut(source) {
  if (source.live) return null;
  const { lines, adapters } = source.leftOut;
  const told = [];
  if (lines)
    told.push(
      `${plural(lines, "adapter")} with less to worry about ${lines === 1 ? "is" : "are"} ` +
        "left out of this table",
    );
  if (adapters)
    told.push(
      `${plural(adapters, "adapter")} ` +
        `${adapters === 1 ? "has no page of its own" : "have no page of their own"} in this report`,
    );
  return told.length
    ? h("p", { class: "note", id: "left-out" }, sentence(`${told.join("; ")}.`))
    : null;
}
