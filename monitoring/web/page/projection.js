// The reference and the window in two dimensions.

function projection(points, memory) {
  const reference = points.filter((point) => point.prediction_id === null);
  const window = points.filter((point) => point.prediction_id !== null);
  if (!points.length) return note("Projection: ", unknown("no embeddings are logged, or none yet"));
  const box = h("div", { class: "projection" });
  const choice = (name, text, mark) => {
    const input = h("input", {
      type: "checkbox",
      id: `show-${name}`,
      checked: memory[name] !== false,
      onchange: () => {
        memory[name] = input.checked;
        box.classList.toggle(`without-${name}`, !input.checked);
      },
    });
    box.classList.toggle(`without-${name}`, memory[name] === false);
    return h("label", null, input, decoration(12, 12, mark), text);
  };
  box.append(
    h(
      "div",
      { class: "legend choices" },
      choice("reference", `reference (${count(reference.length)})`, referencePoint(6, 6, 3)),
      choice("now", `window (${count(window.length)})`, windowPoint(6, 6, 4)),
    ),
    chart(300, (width, height) => drawProjection(reference, window, width, height)),
    note("Principal directions of the reference; near each other means alike. Sampled rows."),
  );
  return box;
}

const referencePoint = (x, y, r, title) =>
  s("circle", { class: "point-reference", cx: round(x), cy: round(y), r }, title || null);

const windowPoint = (x, y, r, title) => {
  const [across, up] = [round(x), round(y)];
  const d = `M${across} ${round(up - r)}l${r} ${r}-${r} ${r}-${r}-${r}z`;
  return s("path", { class: "point-now", d }, title || null);
};

function drawProjection(reference, window, width, height) {
  const all = [...reference, ...window];
  const [xs, ys] = [all.map((point) => point.x), all.map((point) => point.y)];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  // One unit for both directions: distances mean something here.
  const unit = Math.min((width - 24) / (right - left || 1), (height - 24) / (high - low || 1));
  const x = (at) => width / 2 + (at - (left + right) / 2) * unit;
  const y = (at) => height / 2 - (at - (low + high) / 2) * unit;
  const title = (point) => s("title", null, point.label);
  const [before, after] = [count(reference.length), count(window.length)];
  const label = `Projection: ${before} rows of the reference and ${after} of the window`;
  return picture(
    width,
    height,
    label,
    s("rect", { class: "plot", x: 0.5, y: 0.5, width: width - 1, height: height - 1 }),
    s(
      "g",
      { class: "points-reference" },
      reference.map((point) => referencePoint(x(point.x), y(point.y), 2.4, title(point))),
    ),
    s(
      "g",
      { class: "points-now" },
      window.map((point) => windowPoint(x(point.x), y(point.y), 3.4, title(point))),
    ),
  );
}
