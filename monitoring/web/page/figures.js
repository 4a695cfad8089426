// A figure with its interval, or the word "unknown" with its reason: never a 0 for want of data.

function unknown(reason) {
  if (!reason) return h("span", { class: "unknown" }, "unknown");
  return h("span", { class: "unknown" }, "unknown", h("span", { class: "reason" }, `: ${reason}`));
}

function value(number, format, reason) {
  return known(number) ? format(number) : unknown(reason);
}

function interval(figure, format) {
  if (!known(figure.lower) || !known(figure.upper)) return null;
  return `${format(figure.lower)} to ${format(figure.upper)}`;
}

function shown(figure, format) {
  if (!known(figure.value)) return unknown(figure.unknown);
  const range = interval(figure, format);
  return h(
    "span",
    { class: "figure" },
    h("strong", null, format(figure.value)),
    range && [" ", h("span", { class: "interval", title: "interval of 95 %" }, range)],
  );
}

// The short form of the fleet's table: the reason is a page further on.
function brief(figure, format) {
  if (!known(figure.value)) {
    return h("span", { class: "unknown", title: figure.unknown }, "unknown");
  }
  const range = interval(figure, format);
  return h("span", { title: range && `interval of 95 %: ${range}` }, format(figure.value));
}

const WHISKER_HEIGHT = 16;

// An interval as a line, its value as a dot, and a limit as a tick. Decoration: the figures stand
// beside it.
function whisker(figure, from, to, width, limit) {
  const x = linear(from, to, 3, width - 3);
  const middle = WHISKER_HEIGHT / 2;
  const at = (number) => round(x(within(number, from, to)));
  const parts = [s("line", { class: "rail", x1: 3, x2: width - 3, y1: middle, y2: middle })];
  if (known(limit)) {
    parts.push(s("line", { class: "limit", x1: at(limit), x2: at(limit), y1: 1, y2: 15 }));
  }
  if (known(figure.value)) {
    const beyond = known(limit) && figure.value > limit ? " beyond" : "";
    if (known(figure.lower) && known(figure.upper)) {
      const ends = { x1: at(figure.lower), x2: at(figure.upper), y1: middle, y2: middle };
      parts.push(s("line", { class: `range${beyond}`, ...ends }));
    }
    if (figure.value > to) {
      const tip = width - 2;
      const arrow = `M${tip - 6} ${middle - 4}L${tip} ${middle}L${tip - 6} ${middle + 4}z`;
      parts.push(s("path", { class: `dot${beyond}`, d: arrow }));
    } else {
      parts.push(s("circle", { class: `dot${beyond}`, cx: at(figure.value), cy: middle, r: 3.2 }));
    }
  }
  return s(
    "svg",
    { class: "whisker", width, height: WHISKER_HEIGHT, "aria-hidden": "true" },
    parts,
  );
}

const whiskerWidth = () => (innerWidth < 500 ? 76 : 120);

// A list of figures: what, a drawing of it, the figure itself, how many it rests on.
function figureTable(caption, rows, counted) {
  const shape = ["What", "Drawn", "Figure", `#${counted}`];
  return table(
    caption,
    shape,
    rows.map(({ name, figure, format, from, to, limit, bare }) => [
      name,
      bare ? "" : whisker(figure, from, to, whiskerWidth(), limit),
      shown(figure, format),
      figure.count ? count(figure.count) : "",
    ]),
    { class: "scroll figures" },
  );
}

const plainFigure = (number, reason) => ({
  value: number,
  lower: null,
  upper: null,
  count: 0,
  unknown: reason,
});
