// From figures to places on a drawing, and the ticks between.

function linear(from, to, start, end) {
  const span = to - from || 1;
  const place = (value) => start + ((value - from) / span) * (end - start);
  place.inverse = (at) => from + ((at - start) / (end - start)) * span;
  place.from = from;
  place.to = to;
  return place;
}

const within = (value, from, to) => Math.min(to, Math.max(from, value));
const round = (value) => Math.round(value * 10) / 10;

function ticks(from, to, most) {
  const rough = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + 1e-9 * step; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
}

const TIME_STEPS = [
  60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000,
  7776000, 31536000,
];

// Whole hours and days of the reader's own zone.
function timeTicks(from, to, most) {
  const least = (to - from) / Math.max(1, most);
  const step = TIME_STEPS.find((size) => size >= least) || TIME_STEPS[TIME_STEPS.length - 1];
  const found = [];
  const shift = -60 * dateOf(from).getTimezoneOffset();
  for (let at = Math.ceil((from + shift) / step) * step - shift; at <= to; at += step) {
    const midnight = (at + shift) % 86400 === 0;
    found.push({ at, text: midnight || step >= 86400 ? day(at) : clock(at) });
  }
  return found;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : NaN;
}

const path = (points) =>
  points.map(([x, y], index) => `${index ? "L" : "M"}${round(x)} ${round(y)}`).join("");
