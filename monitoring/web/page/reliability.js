// The reliability diagram: how often answers of a confidence were right.

function reliability(calibration) {
  const bins = calibration.bins.filter((bin) => known(bin.accuracy.value));
  if (!bins.length) {
    const reason = calibration.error.unknown || "no labels in these bins";
    return note("Reliability diagram: ", unknown(reason));
  }
  const rows = calibration.bins.map((bin) => [
    percent(bin.confidence),
    shown(bin.accuracy, percent),
    count(bin.accuracy.count),
  ]);
  const head = ["Confidence", "#Right", "#Labels"];
  return [
    chart(290, (width, height) => drawReliability(bins, Math.min(width, 420), height)),
    note(
      "Each dot is a bin of equal mass with its interval of 95 %; on the line, confidence is kept.",
    ),
    folded("bins", "The figures", table("Bins of the reliability diagram", head, rows)),
  ];
}

function drawReliability(bins, width, height) {
  const frame = { left: 60, right: width - 20, top: 10, bottom: height - 34 };
  const low = Math.min(
    ...bins.flatMap((bin) => [bin.confidence, bin.accuracy.lower ?? 1, bin.accuracy.value]),
  );
  const from = Math.max(0, Math.floor(low * 10 - 0.2) / 10);
  const x = linear(from, 1, frame.left, frame.right);
  const y = linear(from, 1, frame.bottom, frame.top);
  const parts = [];
  for (const at of ticks(from, 1, 5)) {
    const [across, up] = [round(x(at)), round(y(at))];
    parts.push(
      s("line", { class: "grid", x1: frame.left, x2: frame.right, y1: up, y2: up }),
      s(
        "text",
        { class: "tick", x: frame.left - 6, y: up + 4, "text-anchor": "end" },
        percentTick(at),
      ),
      s(
        "text",
        { class: "tick", x: across, y: frame.bottom + 15, "text-anchor": "middle" },
        percentTick(at),
      ),
    );
  }
  const across = (frame.left + frame.right) / 2;
  const middle = (frame.top + frame.bottom) / 2;
  parts.push(
    s("line", { class: "ideal", x1: frame.left, y1: frame.bottom, x2: frame.right, y2: frame.top }),
    s(
      "text",
      { class: "axis-name", x: across, y: height - 4, "text-anchor": "middle" },
      "confidence",
    ),
    s(
      "text",
      {
        class: "axis-name",
        x: 12,
        y: middle,
        "text-anchor": "middle",
        transform: `rotate(-90 12 ${middle})`,
      },
      "share that was right",
    ),
    bins.map((bin) => reliabilityBin(bin, x, y)),
  );
  const number = plural(bins.length, "bin");
  const label = `Reliability diagram of ${number}: share of right answers by confidence`;
  return picture(width, height, label, parts);
}

function reliabilityBin(bin, x, y) {
  const { value: right, lower, upper } = bin.accuracy;
  const at = round(x(bin.confidence));
  const off = known(lower) && known(upper) && (bin.confidence < lower || bin.confidence > upper);
  const parts = [];
  if (known(lower) && known(upper)) {
    const [bottom, top] = [round(y(Math.max(y.from, lower))), round(y(upper))];
    parts.push(
      s("path", {
        class: "whisker-line",
        d: `M${at} ${bottom}V${top}M${at - 4} ${bottom}h8M${at - 4} ${top}h8`,
      }),
    );
  }
  parts.push(s("circle", { class: "dot", cx: at, cy: round(y(right)), r: 4 }));
  const title = s("title", null, `confidence ${percent(bin.confidence)}, right ${percent(right)}`);
  return s("g", { class: `bin${off ? " off" : ""}` }, title, parts);
}
