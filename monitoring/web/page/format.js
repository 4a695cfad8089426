// Numbers and times as people read them. What is not known never comes here: see `figures.js`.

const NBSP = "\u00a0";
const THIN = "\u202f";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const known = (value) => typeof value === "number" && Number.isFinite(value);
const count = (value) => whole.format(value);
const compact = (value) => (Math.abs(value) < 10000 ? whole.format(value) : short.format(value));
const fixed = (value, digits) => minus(value.toFixed(digits));
const times = (value) => `${minus(Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1))}×`;
const minus = (text) => text.replace("-", "\u2212");

function percent(value) {
  const share = 100 * value;
  const digits = Math.abs(share) >= 99.95 || share === 0 ? 0 : 1;
  return `${minus(share.toFixed(digits))}${NBSP}%`;
}

// Ticks stand at round figures.
const percentTick = (value) => `${minus(String(Number((100 * value).toPrecision(6))))}${NBSP}%`;
const timesTick = (value) => `${minus(String(value))}×`;

function significant(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e5) return minus(Number(value.toPrecision(3)).toString());
  return minus(value.toExponential(1));
}

function probability(value) {
  return value < 0.001 ? `<${NBSP}0.001` : value.toFixed(3);
}

function duration(seconds) {
  const size = Math.abs(seconds);
  const steps = [
    [86400 * 2, 86400, "d"],
    [3600 * 2, 3600, "h"],
    [60 * 2, 60, "min"],
  ];
  for (const [from, unit, name] of steps) {
    if (size >= from) {
      const amount = size / unit;
      return `${amount < 10 ? Number(amount.toFixed(1)) : Math.round(amount)}${NBSP}${name}`;
    }
  }
  return `${Math.round(size)}${NBSP}s`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)}${NBSP}${units[unit]}`;
}

const UNITS = {
  ratio: percent,
  tokens: (value) => compact(Math.round(value)),
  bytes,
  characters: (value) => compact(Math.round(value)),
  pixels: (value) => compact(Math.round(value)),
  number: significant,
};

// Times are shown in the reader's zone; the title has the same in UTC.

const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const yearFormat = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
});
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const secondFormat = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

const dateOf = (seconds) => new Date(1000 * seconds);
const utc = (seconds) => `${dateOf(seconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
const clock = (seconds) => clockFormat.format(dateOf(seconds));
const day = (seconds) => dayFormat.format(dateOf(seconds));

function moment(seconds, near) {
  const apart = Math.abs(near - seconds);
  const sameDay = dateOf(seconds).toDateString() === dateOf(near).toDateString();
  if (sameDay) return secondFormat.format(dateOf(seconds));
  const date = apart < 300 * 86400 ? day(seconds) : yearFormat.format(dateOf(seconds));
  return `${date} ${clock(seconds)}`;
}

function plural(number, one, many) {
  return `${count(number)}${NBSP}${number === 1 ? one : many || `${one}s`}`;
}

const shortDigest = (digest) => (digest ? digest.replace(/^sha256:/, "").slice(0, 12) : "");
const words = (name) => name.replace(/_/g, " ");
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
