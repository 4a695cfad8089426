// The cards of an adapter's page.

function windowCards(version, report) {
  return [
    stack(
      6,
      card("How far did it move?", 0, driftCard(report, version)),
      card("What comes in?", 0, inputTable(report.inputs), note("Rests on sketches.")),
    ),
    stack(
      6,
      card("Other classes?", 0, mixCard(report.mix)),
      card(
        "How sure is it?",
        0,
        confidenceHistogram(report.confidence),
        note("Rests on sketches."),
      ),
    ),
  ];
}

function driftCard(report, version) {
  const { drift, base_drift: base } = report;
  const row = (name, figure) => ({
    name,
    figure,
    format: times,
    from: 0,
    to: EFFECT_SHOWN,
    limit: 1,
  });
  const rows = [
    row("Drift over tolerance", drift.effect),
    row("with the reference's class mix", drift.reweighted),
    row("with the window's class mix", drift.content),
    row(
      "of the bare backbone",
      base === null ? plainFigure(null, "no rows are embedded without the adapter") : base.effect,
    ),
  ];
  return [
    h("p", { class: "reading" }, drift.reading),
    figureTable("Drift of the window", rows, "Rows"),
    h(
      "dl",
      { class: "pairs" },
      pair("Statistic", value(drift.statistic, significant)),
      pair("Tolerance", value(drift.tolerance, significant)),
      pair("p", value(drift.pvalue, probability, drift.pvalue_unknown)),
      pair("Class shift", classShift(drift)),
      pair("Watch", watchWords(version.watch)),
    ),
    note(`Rests on ${drift.rests_on}; the watch on ${version.watch.rests_on} state.`),
  ];
}

function classShift(drift) {
  if (!known(drift.class_statistic)) return unknown();
  const chance = known(drift.class_pvalue) ? `, p ${probability(drift.class_pvalue)}` : "";
  const worst =
    drift.class_worst === null
      ? null
      : [", most in ", h("span", { class: "label" }, drift.class_worst)];
  return [significant(drift.class_statistic), chance, worst];
}

function watchWords(watch) {
  if (!known(watch.evidence_log10)) return unknown(watch.unknown);
  const bar = known(watch.threshold_log10) ? ` of ${fixed(watch.threshold_log10, 1)}` : "";
  const evidence = `evidence ${fixed(watch.evidence_log10, 1)}${bar} (log\u2081\u2080)`;
  return `${evidence} after ${plural(watch.rows, "row")}`;
}

const pair = (name, told) => h("div", null, h("dt", null, name), h("dd", null, told));

function mixCard(mix) {
  if (!mix.classes.length) return note(unknown("no predictions in this window"));
  return [
    classMix(mix),
    h(
      "dl",
      { class: "pairs" },
      pair("G", value(mix.statistic, significant)),
      pair("p", value(mix.pvalue, probability)),
      pair("Condition of the confusion matrix", value(mix.condition, significant)),
    ),
    note(`Rests on ${mix.rests_on}. Other contents can look like another class mix.`),
  ];
}

const QUALITIES = {
  empty: "Empty",
  truncated: "Truncated",
  unknown_tokens: "Unknown tokens",
  duplicates: "Exact duplicates",
  replaced: "Replacement characters",
  bytes_per_token: "Bytes per token",
  undecodable: "Images that cannot be decoded",
  bytes_per_pixel: "Bytes per pixel",
};

const QUANTITIES = {
  side: "Size (root of width × height)",
  sharpness: "Sharpness (variance of the Laplacian)",
};

function qualityName(name) {
  const quantile = /^(.+)_p(\d+)$/.exec(name);
  if (quantile) {
    const middle = quantile[2] === "50" ? " (median)" : "";
    const what = QUANTITIES[quantile[1]] || sentence(words(quantile[1]));
    return `${what}, ${quantile[2]}th percentile${middle}`;
  }
  return QUALITIES[name] || sentence(words(name));
}

function inputTable(qualities) {
  if (!qualities.length) return note(unknown("no predictions in this window"));
  const rows = qualities.map((item) => {
    const format = UNITS[item.unit];
    return [
      qualityName(item.name),
      value(item.reference, format),
      value(item.now, format),
      known(item.pvalue) ? probability(item.pvalue) : "",
      count(item.count),
    ];
  });
  return table("Inputs of the window", ["What", "#Reference", "#Now", "#p", "#Of"], rows, {
    class: "scroll inputs",
  });
}

function labelCards(version) {
  const { calibration } = version;
  const report = chosenWindow(version, {});
  return [
    card("Do probabilities mean what they say?", 5, reliability(calibration)),
    card(
      "Calibration and accuracy",
      7,
      calibrationTable(calibration, report),
      labelFacts(calibration),
    ),
    version.groups.length ? card("Groups", 12, groupTable(version.groups)) : null,
  ];
}

function calibrationTable(calibration, report) {
  const low = Math.min(
    0.9,
    ...[calibration.accuracy, ...(report ? [report.accuracy.estimate, report.accuracy.helped] : [])]
      .map((figure) => figure.lower)
      .filter(known),
    calibration.reference_accuracy ?? 1,
  );
  const from = Math.max(0, Math.floor(low * 10 - 0.5) / 10);
  const right = { format: percent, from, to: 1, limit: null };
  const error = { format: percent, from: 0, to: 0.3, limit: null };
  const rows = [
    { name: "Calibration error", figure: calibration.error, ...error },
    { name: "Confidence less accuracy", figure: calibration.gap, ...error, from: -0.3 },
    {
      name: "Brier score",
      figure: calibration.brier,
      format: (number) => fixed(number, 3),
      from: 0,
      to: 0.5,
    },
    { name: "Accuracy by labels", figure: calibration.accuracy, ...right },
  ];
  if (report) {
    const doubt = report.accuracy.reliable ? "" : " (unreliable: drift)";
    rows.push(
      {
        name: `Accuracy, estimated without labels${doubt}`,
        figure: report.accuracy.estimate,
        ...right,
      },
      { name: `Estimate helped by labels${doubt}`, figure: report.accuracy.helped, ...right },
    );
  }
  const reference = (name, number) => ({
    name,
    figure: plainFigure(number),
    format: percent,
    ...right,
  });
  rows.push(
    {
      ...reference("Calibration error of the reference", calibration.reference_error),
      from: 0,
      to: 0.3,
    },
    reference("Accuracy of the reference", calibration.reference_accuracy),
  );
  return figureTable("Figures of labels, with intervals of 95 %", rows, "Labels");
}

function labelFacts(calibration) {
  const parts = ["reliability", "resolution", "uncertainty"].map((name) => {
    const part = calibration[`brier_${name}`];
    return `${name} ${known(part) ? fixed(part, 3) : "unknown"}`;
  });
  const delay = known(calibration.delay_s_median)
    ? `half within ${duration(calibration.delay_s_median)}` +
      (known(calibration.delay_s_p90)
        ? `, 90${NBSP}% within ${duration(calibration.delay_s_p90)}`
        : "")
    : unknown();
  return [
    h(
      "dl",
      { class: "pairs" },
      pair(
        "Labels that count",
        `${count(calibration.labels)}, of them ${count(calibration.audited)} of audits`,
      ),
      pair("Coverage", value(calibration.coverage, percent)),
      pair("Delay", delay),
      pair("Square of the error", value(calibration.error_square, significant)),
      pair("Parts of the Brier score", parts.join(", ")),
      pair(
        "Temperature that would repair it",
        value(calibration.temperature, (number) => fixed(number, 2)),
      ),
    ),
    note(
      `Rests on ${calibration.rests_on}`,
      calibration.weighted ? ", weighted by audit probability." : ".",
    ),
  ];
}

function groupTable(groups) {
  const head = [
    "Group",
    "#Predictions",
    "#Labels",
    "#Accuracy",
    "#Calibration error",
    "#Confidence less accuracy",
    "#Brier score",
  ];
  const rows = groups.map(({ group, predictions, calibration }) => [
    h("span", { class: "label" }, group === "_other" ? "all others" : group),
    count(predictions),
    count(calibration.labels),
    shown(calibration.accuracy, percent),
    shown(calibration.error, percent),
    shown(calibration.gap, percent),
    shown(calibration.brier, (number) => fixed(number, 3)),
  ]);
  return table("Figures of each group", head, rows, { class: "scroll groups" });
}

function rowCards(report, version, now, memory) {
  return [
    stack(
      5,
      card("Where did it move?", 0, projection(version.projection, memory)),
      card("Alarms", 0, alarmTable(version.alarms, now)),
    ),
    stack(
      7,
      card("Rows furthest from the reference", 0, sampleTable(version.samples, now)),
      card("Rollouts", 0, rolloutTable(report.rollouts, now)),
    ),
    card("Retrain triggers", 12, triggerTable(report.triggers, now, false)),
  ];
}

function sampleTable(samples, now) {
  if (!samples.length) return note(unknown("no sampled rows with an embedding"));
  const rows = samples.map((sample) => [
    h("span", { class: "label" }, sample.label),
    sample.text === null
      ? h("span", { class: "unknown" }, "text is not logged")
      : h("span", { class: "text" }, sample.text),
    significant(sample.distance),
    percent(sample.confidence),
    time(sample.time_s, now),
    h("code", { title: sample.prediction_id }, `${sample.prediction_id.slice(0, 8)}…`),
  ]);
  return table(
    "Most drifted samples",
    ["Predicted", "Text", "#Distance", "#Confidence", "Time", "Prediction"],
    rows,
    { class: "scroll samples" },
  );
}

function alarmTable(alarms, now) {
  if (!alarms.length) return note("No alarm was raised.");
  const rows = alarms.map((alarm) => [
    alarm.kind,
    time(alarm.began_s, now),
    known(alarm.ended_s) ? time(alarm.ended_s, now) : h("strong", { class: "stands" }, "stands"),
    `${alarm.reason}${known(alarm.evidence) ? ` (evidence ${fixed(alarm.evidence, 1)})` : ""}`,
  ]);
  return table("Alarms, latest first", ["Kind", "Began", "Ended", "Reason"], rows, {
    class: "scroll alarms",
  });
}

function rolloutTable(marks, now) {
  if (!marks.length) return note("No rollout is in the log.");
  const rows = [...marks]
    .reverse()
    .map((mark) => [
      time(mark.time_s, now),
      rolloutWords(mark),
      h("span", { class: "label" }, mark.actor),
      count(mark.revision),
    ]);
  return table("Rollouts, latest first", ["Time", "What answers", "Who", "#Revision"], rows, {
    class: "scroll rollouts",
  });
}

function triggerTable(triggers, now, named) {
  if (!triggers.length) return note("No retraining was asked for.");
  const rows = triggers.map((trigger) => [
    time(trigger.raised_s, now),
    ...(named
      ? [`${trigger.tenant}/${trigger.adapter} v${trigger.version}`]
      : [`v${trigger.version}`]),
    trigger.reason,
    [trigger.delivered, trigger.attempts > 1 && ` after ${plural(trigger.attempts, "attempt")}`],
    trigger.detail,
  ]);
  return table(
    "Retrain triggers, latest first",
    ["Raised", named ? "Adapter" : "Version", "Reason", "Delivery", "Detail"],
    rows,
    { class: "scroll triggers" },
  );
}
