// Shares of a whole, in the reference and now: classes, and bars of confidence.

const CLASSES_SHOWN = 10;

const movedBy = (share) =>
  known(share.reference) && known(share.now) ? Math.abs(share.now - share.reference) : -1;

function classMix(mix) {
  const sorted = [...mix.classes].sort((a, b) => movedBy(b) - movedBy(a));
  const most = Math.max(
    0.01,
    ...sorted.flatMap((item) => [item.reference, item.now, item.prior.upper].filter(known)),
  );
  const first = sorted.slice(0, CLASSES_SHOWN);
  const others = sorted.slice(CLASSES_SHOWN);
  const priors = !mix.refused;
  return [
    legend([
      ["swatch-reference", "reference"],
      ["swatch-now", "now"],
      ...(priors ? [["swatch-prior", "true share now, estimated"]] : []),
    ]),
    classTable(first, most, priors, "Classes that moved most"),
    others.length
      ? folded(
          "classes",
          `${plural(others.length, "more class", "more classes")}`,
          classTable(others, most, priors, "Other classes"),
        )
      : null,
    mix.refused ? note("True shares: ", unknown(mix.refused)) : null,
  ];
}

function classTable(classes, most, priors, caption) {
  const head = ["Class", "Drawn", "#Now", "#Reference", ...(priors ? ["#True, estimated"] : [])];
  const rows = classes.map((item) => [
    h("span", { class: "label" }, item.label),
    shareBars(item, most, whiskerWidth()),
    value(item.now, percent),
    value(item.reference, percent),
    ...(priors ? [shown(item.prior, percent)] : []),
  ]);
  return table(caption, head, rows, { class: "scroll shares" });
}

function shareBars(item, most, width) {
  const x = linear(0, most, 0, width);
  const parts = [];
  if (known(item.reference)) {
    parts.push(
      s("rect", { class: "bar-reference", x: 0, y: 1, height: 5, width: round(x(item.reference)) }),
    );
  }
  if (known(item.now)) {
    parts.push(s("rect", { class: "bar-now", x: 0, y: 7, height: 7, width: round(x(item.now)) }));
  }
  const { value: prior, lower, upper } = item.prior;
  if (known(prior)) {
    if (known(lower) && known(upper)) {
      const ends = { x1: round(x(lower)), x2: round(x(upper)), y1: 10.5, y2: 10.5 };
      parts.push(s("line", { class: "prior-range", ...ends }));
    }
    parts.push(s("circle", { class: "prior", cx: round(x(prior)), cy: 10.5, r: 2.8 }));
  }
  return s("svg", { class: "class-bars", width, height: 16, "aria-hidden": "true" }, parts);
}

function legend(items) {
  const entries = items.map(([name, text]) =>
    h("li", null, decoration(12, 12, swatch(name)), text),
  );
  return h("ul", { class: "legend" }, entries);
}

function swatch(name) {
  if (name === "swatch-prior") return s("circle", { class: "prior", cx: 6, cy: 6, r: 3.5 });
  const bar = name === "swatch-now" ? "bar-now" : "bar-reference";
  return s("rect", { class: bar, x: 1, y: 2, width: 10, height: 8 });
}

function confidenceHistogram(bars) {
  const drawn = bars.filter((bar) => known(bar.now) || known(bar.reference));
  if (!drawn.length) return note("Confidence: ", unknown("no predictions in this window"));
  const rows = bars.map((bar) => [
    `${percent(bar.start)} to ${percent(bar.end)}`,
    value(bar.reference, percent),
    value(bar.now, percent),
  ]);
  return [
    legend([
      ["swatch-reference", "reference"],
      ["swatch-now", "now"],
    ]),
    chart(190, (width, height) => drawHistogram(bars, width, height)),
    folded(
      "confidence",
      "The figures",
      table("Confidence of predictions", ["Confidence", "#Reference", "#Now"], rows),
    ),
  ];
}

function drawHistogram(bars, width, height) {
  const frame = { left: 40, right: width - 18, top: 8, bottom: height - 22 };
  const shares = bars.flatMap((bar) => [bar.reference, bar.now].filter(known));
  const x = linear(bars[0].start, bars[bars.length - 1].end, frame.left, frame.right);
  const y = linear(0, Math.max(0.01, ...shares) * 1.05, frame.bottom, frame.top);
  const parts = [];
  for (const at of ticks(0, y.to, 4)) {
    const place = round(y(at));
    parts.push(
      s("line", { class: "grid", x1: frame.left, x2: frame.right, y1: place, y2: place }),
      s(
        "text",
        { class: "tick", x: frame.left - 6, y: place + 4, "text-anchor": "end" },
        percentTick(at),
      ),
    );
  }
  for (const at of ticks(x.from, x.to, Math.min(10, (frame.right - frame.left) / 45))) {
    const place = { class: "tick", x: round(x(at)), y: frame.bottom + 15, "text-anchor": "middle" };
    parts.push(s("text", place, percentTick(at)));
  }
  for (const bar of bars) {
    const start = x(bar.start) + 1;
    const room = Math.max(1, x(bar.end) - x(bar.start) - 2);
    if (known(bar.now)) {
      const box = { class: "bar-now", x: round(start), width: round(room), y: round(y(bar.now)) };
      parts.push(s("rect", { ...box, height: round(frame.bottom - y(bar.now)) }));
    }
    if (known(bar.reference)) {
      const at = round(y(bar.reference));
      const ends = { x1: round(start - 1), x2: round(start + room + 1), y1: at, y2: at };
      parts.push(s("line", { class: "step-reference", ...ends }));
    }
  }
  return picture(
    width,
    height,
    "Confidence of predictions: shares in the reference and now",
    parts,
  );
}
