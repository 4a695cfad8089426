// Figures over time: line, interval, limit, alarms, and rollouts as marks on the axis.

const TALL = 250;
const LOW = 118;

// The time that a version's drawings share: its history, and the rollout that began it.
function domainOf(history, marks) {
  if (!history.length) return null;
  const first = history[0].time_s;
  const last = history[history.length - 1].time_s;
  const span = Math.max(last - first, 600);
  const before = marks.map((mark) => mark.time_s).filter((at) => at < first);
  const began = Math.max(-Infinity, ...before);
  return [began > first - span / 8 ? began - span / 60 : first, Math.max(last, first + 600)];
}

// Runs of points that are known and follow each other; a hole is left where there were no rows.
function runs(points, isKnown) {
  const gaps = points.slice(1).map((point, index) => point.t - points[index].t);
  const hole = 4 * median(gaps);
  const found = [];
  let run = [];
  let before = null;
  for (const point of points) {
    if (before !== null && point.t - before > hole && run.length) {
      found.push(run);
      run = [];
    }
    before = point.t;
    if (isKnown(point)) run.push(point);
    else if (run.length) {
      found.push(run);
      run = [];
    }
  }
  if (run.length) found.push(run);
  return found;
}

function extent(spec) {
  const numbers = [];
  for (const { value: middle, lower, upper } of spec.points) {
    numbers.push(...[middle, lower, upper].filter(known));
  }
  if (spec.line && known(spec.line.at)) numbers.push(spec.line.at);
  const low = Math.min(spec.least, ...numbers);
  const high = Math.max(spec.most, ...numbers);
  const room = 0.06 * (high - low);
  return [low < 0 || low > spec.least ? low - room : low, high + room];
}

function timeline(spec) {
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const read = (point) => readout.replaceChildren(...reading(spec, point));
  const last = [...spec.points].reverse().find((point) => known(point.value));
  read(last || null);
  const draw = (width, height) => drawTimeline(spec, width, height, read, last || null);
  return h("div", { class: "timeline" }, readout, chart(spec.tall ? TALL : LOW, draw));
}

function reading(spec, point) {
  const name = h("span", { class: "name" }, spec.name);
  if (point === null) return [name, unknown(spec.reason)];
  const parts = [
    name,
    h("strong", null, known(point.value) ? spec.format(point.value) : "unknown"),
  ];
  if (known(point.lower) && known(point.upper)) {
    const range = `${spec.format(point.lower)} to ${spec.format(point.upper)}`;
    parts.push(h("span", { class: "interval" }, range));
  }
  const rows = known(point.rows) ? `, ${plural(point.rows, "row")}` : "";
  parts.push(h("span", { class: "when" }, moment(point.t, spec.now), rows));
  return parts;
}

function drawTimeline(spec, width, height, read, last) {
  const [from, to] = extent(spec);
  const left = 46;
  const frame = { left, right: width - 8, top: spec.tall ? 24 : 8, bottom: height - 20 };
  const x = linear(spec.domain[0], spec.domain[1], frame.left, frame.right);
  const y = linear(from, to, frame.bottom, frame.top);
  const drawing = picture(
    width,
    height,
    described(spec),
    grid(spec, x, y, frame),
    alarmSpans(spec, x, frame),
    band(spec, x, y),
    limitLine(spec, y, frame),
    rolloutMarks(spec, x, frame),
    lines(spec, x, y),
    spec.tall ? alarmPoints(spec, x, y) : null,
    limitName(spec, y, frame),
  );
  follow(drawing, spec, x, y, frame, read, last);
  return drawing;
}

function described(spec) {
  const values = spec.points.map((point) => point.value).filter(known);
  if (!values.length) return `${spec.name} over time: unknown`;
  const [low, high] = [Math.min(...values), Math.max(...values)].map(spec.format);
  const line = spec.line ? `; ${spec.line.text} at ${spec.format(spec.line.at)}` : "";
  const alarms = spec.alarms.length ? `; ${plural(spec.alarms.length, "alarm")}` : "";
  const end = spec.format(values[values.length - 1]);
  return `${spec.name} over time: from ${low} to ${high}, ${end} at the end${line}${alarms}`;
}

function grid(spec, x, y, frame) {
  const parts = [];
  for (const at of ticks(y.from, y.to, spec.tall ? 5 : 3)) {
    const height = round(y(at));
    parts.push(
      s("line", { class: "grid", x1: frame.left, x2: frame.right, y1: height, y2: height }),
    );
    const place = { class: "tick", x: frame.left - 6, y: height + 4, "text-anchor": "end" };
    parts.push(s("text", place, (spec.tick || spec.format)(at)));
  }
  for (const { at, text } of timeTicks(x.from, x.to, (frame.right - frame.left) / 80)) {
    const place = round(x(at));
    const anchor = place > frame.right - 20 ? "end" : place < frame.left + 14 ? "start" : "middle";
    parts.push(
      s("line", { class: "axis", x1: place, x2: place, y1: frame.bottom, y2: frame.bottom + 4 }),
      s("text", { class: "tick", x: place, y: frame.bottom + 16, "text-anchor": anchor }, text),
    );
  }
  const floor = {
    class: "axis",
    x1: frame.left,
    x2: frame.right,
    y1: frame.bottom,
    y2: frame.bottom,
  };
  return [...parts, s("line", floor)];
}

function alarmSpans(spec, x, frame) {
  return spec.alarms.map((alarm) => {
    const start = within(x(alarm.began_s), frame.left, frame.right);
    const end = within(x(known(alarm.ended_s) ? alarm.ended_s : x.to), frame.left, frame.right);
    const box = {
      class: "alarm-span",
      x: round(start),
      y: frame.top,
      width: round(Math.max(2, end - start)),
      height: frame.bottom - frame.top,
    };
    return s("rect", box, s("title", null, `${alarm.kind} alarm: ${alarm.reason}`));
  });
}

function band(spec, x, y) {
  const both = (point) => known(point.lower) && known(point.upper);
  return runs(spec.points, both).map((run) => {
    const upper = run.map((point) => [x(point.t), y(point.upper)]);
    const lower = run.map((point) => [x(point.t), y(point.lower)]).reverse();
    return s("path", { class: "band", d: `${path([...upper, ...lower])}Z` });
  });
}

function limitLine(spec, y, frame) {
  if (!spec.line || !known(spec.line.at)) return null;
  const at = round(y(spec.line.at));
  return s("line", { class: "tolerance", x1: frame.left, x2: frame.right, y1: at, y2: at });
}

function limitName(spec, y, frame) {
  if (!spec.line || !known(spec.line.at)) return null;
  const at = round(y(spec.line.at));
  const place = {
    class: "tolerance-name",
    x: frame.left + 6,
    y: at - frame.top < 16 ? at + 13 : at - 5,
  };
  return s("text", place, spec.line.text);
}

function lines(spec, x, y) {
  return runs(spec.points, (point) => known(point.value)).map((run) => {
    const places = run.map((point) => [x(point.t), y(point.value)]);
    if (run.length === 1)
      return s("circle", { class: "point", cx: places[0][0], cy: places[0][1], r: 2.5 });
    return s("path", { class: "line", d: path(places) });
  });
}

function alarmPoints(spec, x, y) {
  return spec.points
    .filter((point) => point.alarm && known(point.value))
    .map((point) => {
      const [cx, cy] = [round(x(point.t)), round(y(point.value))];
      return s("path", { class: "alarm-point", d: `M${cx} ${cy - 3.5}l3.5 3.5-3.5 3.5-3.5-3.5z` });
    });
}

function rolloutMarks(spec, x, frame) {
  const parts = [];
  let free = -Infinity; // where the last name ended
  for (const mark of spec.marks) {
    if (mark.time_s < x.from || mark.time_s > x.to) continue;
    const at = round(x(mark.time_s));
    const ends = { x1: at, x2: at, y1: spec.tall ? 14 : frame.top, y2: frame.bottom };
    const title = s("title", null, `${utc(mark.time_s)}: ${rolloutWords(mark)}, by ${mark.actor}`);
    parts.push(s("line", { class: "rollout-mark", ...ends }, title));
    if (!spec.tall) continue;
    const name =
      mark.live === null ? "none live" : `v${mark.live}${mark.canary ? `+${mark.canary}` : ""}`;
    const room = 7 * name.length;
    const start = at + room > frame.right ? at - room : at;
    if (start < free) continue;
    free = start + room + 4;
    const anchor = start < at ? "end" : "start";
    parts.push(s("text", { class: "rollout-name", x: at, y: 10, "text-anchor": anchor }, name));
  }
  return parts;
}

function rolloutWords(mark) {
  const told = [mark.live === null ? "no version live" : `version ${mark.live} live`];
  if (mark.canary !== null) {
    const share = known(mark.canary_percent)
      ? ` at ${significant(mark.canary_percent)}${NBSP}%`
      : "";
    told.push(`version ${mark.canary} canary${share}`);
  }
  if (mark.shadow.length) told.push(`in the shadow: ${mark.shadow.join(", ")}`);
  if (known(mark.rolled_back)) {
    told.push(`version ${mark.rolled_back} taken out by the service itself: ${mark.forced}`);
  } else if (mark.forced) told.push(`forced: ${mark.forced}`);
  return told.join(", ");
}

// The point under the pointer is read out above the drawing.
function follow(drawing, spec, x, y, frame, read, last) {
  if (!spec.points.length) return;
  const cursor = s("line", {
    class: "cursor",
    y1: frame.top,
    y2: frame.bottom,
    visibility: "hidden",
  });
  const dot = s("circle", { class: "cursor-dot", r: 3.5, visibility: "hidden" });
  drawing.append(cursor, dot);
  const show = (element, visible) =>
    element.setAttribute("visibility", visible ? "visible" : "hidden");
  drawing.addEventListener("pointermove", (event) => {
    const t = x.inverse(event.clientX - drawing.getBoundingClientRect().left);
    const near = spec.points.reduce((best, point) =>
      Math.abs(point.t - t) < Math.abs(best.t - t) ? point : best,
    );
    const at = round(x(near.t));
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    show(cursor, true);
    show(dot, known(near.value));
    if (known(near.value)) {
      dot.setAttribute("cx", at);
      dot.setAttribute("cy", round(y(near.value)));
    }
    read(near);
  });
  drawing.addEventListener("pointerleave", () => {
    show(cursor, false);
    show(dot, false);
    read(last);
  });
}
