// One adapter: its versions, and everything that is told of the one that is chosen.

function adapterView(report, route, now, memory) {
  const version = chosenVersion(report, route);
  const title = h(
    "h1",
    { class: "adapter-name" },
    h("span", { class: "tenant" }, `${report.tenant}/`),
    report.adapter,
  );
  const back = h("a", { class: "back", href: "#/" }, "All adapters");
  if (version === null)
    return [back, title, h("p", { class: "empty" }, "No version of it is watched.")];
  const window = chosenWindow(version, route);
  return [
    back,
    title,
    versionTabs(report, version, window),
    stateBanner(version),
    facts(version, now),
    movement(report, version, now),
    windowTabs(version, window, now),
    window === null
      ? h("p", { class: "empty" }, "No window has rows yet.")
      : h("div", { class: "cards" }, windowCards(version, window)),
    h("h2", { class: "divider" }, "Labels that came back"),
    h("div", { class: "cards" }, labelCards(version)),
    h("h2", { class: "divider" }, "Rows and events"),
    h("div", { class: "cards" }, rowCards(report, version, now, memory)),
  ];
}

function chosenVersion(report, route) {
  const found = report.versions.find(
    (version) => String(version.version) === route.version && version.role === route.role,
  );
  return found || report.versions[0] || null;
}

function chosenWindow(version, route) {
  const named = (name) => version.windows.find((item) => item.window.name === name);
  return named(route.window) || named(version.primary) || version.windows[0] || null;
}

function addressOf(version, window) {
  const parts = [version.tenant, version.adapter, version.version, version.role];
  if (window) parts.push(window.window.name);
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

function versionTabs(report, current, window) {
  const links = report.versions.map((version) => {
    const standing = version.standing === version.role ? "" : `, ${version.standing}`;
    return h(
      "a",
      {
        href: addressOf(version, window),
        id: `version-${version.version}-${version.role}`,
        "aria-current": version === current ? "page" : null,
      },
      stateMark(version.state),
      h("span", { class: "hidden" }, `${STATE_WORDS[version.state]}: `),
      `v${version.version} ${version.role}${standing}`,
    );
  });
  return h("nav", { class: "tabs versions", "aria-label": "Versions" }, links);
}

function windowTabs(version, current, now) {
  const links = version.windows.map((item) =>
    h(
      "a",
      {
        href: addressOf(version, item),
        id: `window-${item.window.name}`,
        "aria-current": item === current ? "page" : null,
      },
      windowName(item.window.name),
    ),
  );
  const told =
    current === null ? null : h("p", { class: "window-told" }, ...windowWords(current.window, now));
  return h(
    "div",
    { class: "windows" },
    h("nav", { class: "tabs", "aria-label": "Windows" }, links),
    told,
  );
}

function windowName(name) {
  const counted = /^last-(\d+)$/.exec(name);
  if (counted) return `last ${count(Number(counted[1]))} rows`;
  const timed = /^(\d+)([hd])$/.exec(name);
  if (timed)
    return `last ${timed[1]} ${timed[2] === "h" ? "h" : timed[1] === "1" ? "day" : "days"}`;
  return name;
}

function windowWords(window, now) {
  const rows = `${plural(window.rows, "row")}, ${count(window.embedded)} with an embedding`;
  if (!known(window.start_s) || !known(window.end_s)) return [rows];
  return [rows, " · ", time(window.start_s, now), " to ", time(window.end_s, now)];
}

function stateBanner(version) {
  return h(
    "div",
    { class: `banner ${version.state}`, id: "state" },
    stateMark(version.state),
    h(
      "div",
      null,
      h("strong", null, sentence(STATE_WORDS[version.state])),
      h("p", null, version.why),
    ),
  );
}

const SOURCES = {
  holdout: "its own hold-out",
  pooled: "borrowed from its backbone's adapters",
  none: "none",
};

function facts(version, now) {
  const { reference } = version;
  const rows = reference.source === "none" ? "" : `, ${plural(reference.rows, "row")}`;
  const terms = [
    [
      "Reference",
      [
        SOURCES[reference.source],
        rows,
        known(reference.made_s) ? [", ", time(reference.made_s, now)] : null,
      ],
    ],
    ["Last prediction", ago(version.last_s, now)],
    [
      "Predictions read",
      [
        count(version.predictions),
        known(version.sampled) && version.sampled < 1
          ? ` (${percent(version.sampled)} are logged)`
          : null,
      ],
    ],
    ["Digest", h("code", { title: version.digest }, shortDigest(version.digest))],
  ];
  if (reference.backbone)
    terms.push([
      "Backbone",
      h("code", { title: reference.backbone }, shortDigest(reference.backbone)),
    ]);
  return [
    h(
      "dl",
      { class: "facts" },
      terms.map(([name, told]) => h("div", null, h("dt", null, name), h("dd", null, told))),
    ),
    reference.note ? note("Reference: ", reference.note) : null,
  ];
}

// What moved when: one axis of time for all of it.
function movement(report, version, now) {
  const domain = domainOf(version.history, report.rollouts);
  const primary = windowName(version.primary);
  if (domain === null) {
    return h(
      "div",
      { class: "cards" },
      card("Drift over time", 12, note(unknown("no window was full yet"))),
    );
  }
  const line = (read) =>
    version.history.map((point) => ({
      t: point.time_s,
      rows: point.rows,
      alarm: point.alarm,
      ...read(point),
    }));
  const shared = { domain, now, marks: report.rollouts, least: 0 };
  const alarms = (kind) =>
    version.alarms.filter(
      (alarm) => alarm.kind === kind && (!known(alarm.ended_s) || alarm.ended_s >= domain[0]),
    );
  const drift = timeline({
    ...shared,
    tall: true,
    name: "Drift over tolerance",
    reason: "no window had enough rows",
    points: line((point) => ({ value: point.effect, lower: point.lower, upper: point.upper })),
    line: { at: 1, text: "tolerance" },
    alarms: alarms("drift"),
    most: 1.5,
    format: times,
    tick: timesTick,
  });
  const evidence = timeline({
    ...shared,
    name: "Evidence of the watch, log\u2081\u2080",
    reason: version.watch.unknown,
    points: line((point) => ({ value: point.evidence_log10 })),
    line: known(version.watch.threshold_log10)
      ? { at: version.watch.threshold_log10, text: "alarm" }
      : null,
    alarms: alarms("drift"),
    most: 1,
    format: (number) => fixed(number, 1),
  });
  const accuracy = timeline({
    ...shared,
    name: "Accuracy",
    reason: "too few labels",
    points: line((point) => ({ value: point.accuracy })),
    line: known(version.calibration.reference_accuracy)
      ? { at: version.calibration.reference_accuracy, text: "reference" }
      : null,
    alarms: alarms("accuracy"),
    least: 1,
    most: 1,
    format: percent,
    tick: percentTick,
  });
  const calibration = timeline({
    ...shared,
    name: "Calibration error",
    reason: version.calibration.error.unknown,
    points: line((point) => ({ value: point.calibration_error })),
    line: known(version.calibration.reference_error)
      ? { at: version.calibration.reference_error, text: "reference" }
      : null,
    alarms: alarms("calibration"),
    most: 0.05,
    format: percent,
    tick: percentTick,
  });
  return h(
    "div",
    { class: "cards" },
    card(
      "Drift over time",
      12,
      drift,
      h("div", { class: "small-multiples" }, evidence, calibration, accuracy),
      note(
        `Window: ${primary}. Shaded: interval of 95 %. Upright lines: rollouts. `,
        "Red ground: an alarm stood.",
      ),
      folded("history", "The figures", historyTable(version.history, now)),
    ),
  );
}

function historyTable(history, now) {
  const head = [
    "Time",
    "#Rows",
    "#Drift over tolerance",
    "#p",
    "#Evidence",
    "#Class shift",
    "#Calibration error",
    "#Accuracy",
    "Alarm",
  ];
  const latest = [...history].reverse().slice(0, 200);
  const rows = latest.map((point) => [
    time(point.time_s, now),
    count(point.rows),
    shown({ value: point.effect, lower: point.lower, upper: point.upper }, times),
    value(point.pvalue, probability),
    value(point.evidence_log10, (number) => fixed(number, 1)),
    value(point.class_statistic, significant),
    value(point.calibration_error, percent),
    value(point.accuracy, percent),
    point.alarm ? "yes" : "",
  ]);
  return table("Drift over time, latest first", head, rows);
}
