// Figures in words.

const whole = new Intl.NumberFormat("en-US");

/** A count, with its noun. */
export function count(number, one, many) {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}

export function number(value) {
  return whole.format(value);
}

/** A rate or another figure of which the first digits matter. */
export function rough(value) {
  return value >= 100 || Number.isInteger(value) ? whole.format(Math.round(value)) : value.toPrecision(2);
}

/** A time that has passed. */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

/** How long a request took. */
export function latency(micros) {
  if (micros < 1000) return `${micros} µs`;
  return micros < 10_000_000 ? `${(micros / 1000).toPrecision(3)} ms` : `${Math.round(micros / 1e6)} s`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** A day and a time of it. */
export function moment(ms) {
  return new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** The first letter large. */
export function sentence(text) {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
