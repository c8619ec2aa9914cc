// SPDX-License-Identifier: EUPL-1.2
// A dashboard as a picture: the same rows, panels and expressions as configs/grafana has, drawn from what Prometheus answers. It
// shows on a page what Grafana would show, for those who have none before them.

const UNIT_WIDTH = 50;
const UNIT_HEIGHT = 24;
const WIDTH = 24 * UNIT_WIDTH;
const HEAD = 40;
const GAP = 6;
/** Lines that a legend has room for. */
const NAMED = 6;
const COLOURS = ['#0b5fa5', '#c4501b', '#3b7a2a', '#7a4fa3', '#8a6d00', '#b0235f', '#00757a', '#555555'];
const DASHES = ['', '6 3', '2 3', '9 3 2 3'];

const escape = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const round = (value) => Math.round(value * 10) / 10;

/** A figure with its unit, as Grafana names units. */
export function figure(value, unit) {
  const scaled = (steps, base, ends) => {
    let [place, scale] = [0, Math.abs(value)];
    while (scale >= base && place < steps.length - 1) [place, scale] = [place + 1, scale / base];
    return `${digits(Math.sign(value) * scale)} ${steps[place]}${ends}`.trim();
  };
  const digits = (number) => (Number.isInteger(number) || Math.abs(number) >= 100 ? Math.round(number) : Number(number.toPrecision(3))).toString();
  if (!Number.isFinite(value)) return '–';
  if (unit === 'percentunit') return `${digits(value * 100)} %`;
  if (unit === 's') {
    const [size, name] = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's'], [1e-3, 'ms'], [1e-6, 'µs']].find(([least]) => Math.abs(value) >= least) ?? [1, 's'];
    return `${digits(value / size)} ${name}`;
  }
  if (unit === 'bytes') return scaled(['', 'Ki', 'Mi', 'Gi', 'Ti'], 1024, 'B');
  if (unit === 'Bps') return scaled(['', 'k', 'M', 'G'], 1000, 'B/s');
  if (unit === 'bps') return scaled(['', 'k', 'M', 'G'], 1000, 'bit/s');
  const rate = { ops: '/s', pps: ' p/s' }[unit] ?? '';
  return `${scaled(['', 'k', 'M', 'G'], 1000, '').trim()}${rate}`;
}

/** The upper end of an axis: one, two or five of some power. */
export function above(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value * 0.999999);
}

/** The name of a line: its legend with the labels that it has. */
export const named = (legend, labels) => legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');

/**
 * A dashboard drawn from what `range` answers for an expression: series of `labels` and `values`, each a time and a number. `from` and `to`
 * are the ends of the time that is shown, in seconds. Gives the picture, and of each panel how many lines it has.
 */
export async function draw(dashboard, range, { from, to, interval }) {
  const panels = [];
  const body = [];
  let height = 0;
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const place = { x: x * UNIT_WIDTH + GAP / 2, y: HEAD + y * UNIT_HEIGHT + GAP / 2, w: w * UNIT_WIDTH - GAP, h: h * UNIT_HEIGHT - GAP };
    height = Math.max(height, place.y + place.h);
    if (panel.type === 'row') {
      body.push(`<text x="${place.x + 2}" y="${place.y + 14}" font-size="13" font-weight="bold">${escape(panel.title)}</text>`);
      continue;
    }
    const lines = [];
    for (const { expr, legendFormat } of panel.targets) {
      const expression = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', interval);
      for (const { labels, values } of await range(expression)) {
        const points = values.filter(([, value]) => Number.isFinite(value));
        if (points.length > 0) lines.push({ name: named(legendFormat, labels), points });
      }
    }
    panels.push({ title: panel.title, lines: lines.length });
    const { unit } = panel.fieldConfig.defaults;
    body.push(`<rect x="${place.x}" y="${place.y}" width="${place.w}" height="${place.h}" rx="3" fill="#ffffff" stroke="#c8ccd0"/>`);
    body.push(`<text x="${place.x + 8}" y="${place.y + 16}" font-weight="bold">${escape(panel.title)}</text>`);
    body.push(...(panel.type === 'stat' ? large(place, lines, unit) : graph(place, lines, unit, from, to)));
  }
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height + GAP}" font-family="sans-serif" font-size="11" fill="#1f2933" role="img">
<title>${escape(dashboard.title)}</title>
<rect width="100%" height="100%" fill="#f4f5f6"/>
<text x="${GAP}" y="26" font-size="18" font-weight="bold">${escape(dashboard.title)}</text>
${body.join('\n')}
</svg>
`;
  return { picture, panels };
}

/** One large figure: the last one. */
function large({ x, y, w, h }, lines, unit) {
  const last = lines[0]?.points.at(-1)[1];
  return [`<text x="${round(x + w / 2)}" y="${round(y + h / 2 + 18)}" font-size="26" text-anchor="middle">${escape(figure(last ?? NaN, unit))}</text>`];
}

/** Lines over time, with an axis and a legend. */
function graph({ x, y, w, h }, lines, unit, from, to) {
  const left = x + 74;
  const right = x + w - 10;
  const rows = Math.min(Math.ceil(lines.length / 2), NAMED / 2);
  const top = y + 28;
  const bottom = y + h - 22 - 14 * rows;
  const highest = above(Math.max(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value))));
  const lowest = Math.min(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value)));
  const across = (time) => round(left + ((time - from) / (to - from)) * (right - left));
  const up = (value) => round(bottom - ((value - lowest) / (highest - lowest)) * (bottom - top));
  const drawn = [0, 0.5, 1].flatMap((share) => {
    const value = lowest + share * (highest - lowest);
    return [
      `<path d="M${left} ${up(value)}H${right}" stroke="#e3e6e8"/>`,
      `<text x="${left - 6}" y="${up(value) + 4}" text-anchor="end" fill="#52606d">${escape(figure(value, unit))}</text>`,
    ];
  });
  drawn.push(`<text x="${left}" y="${bottom + 13}" fill="#52606d">0 s</text>`);
  drawn.push(`<text x="${right}" y="${bottom + 13}" text-anchor="end" fill="#52606d">${Math.round(to - from)} s</text>`);
  lines.forEach(({ points }, number) => {
    const path = points.map(([time, value], at) => `${at === 0 ? 'M' : 'L'}${across(time)} ${up(value)}`).join('');
    // A single point is a line of no length, which round ends show.
    const ends = points.length === 1 ? 'h0.1' : '';
    drawn.push(`<path d="${path}${ends}" fill="none" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" ${look(number)}/>`);
  });
  if (lines.length === 0) drawn.push(`<text x="${round((left + right) / 2)}" y="${round((top + bottom) / 2)}" text-anchor="middle" fill="#52606d">nothing yet</text>`);
  const shown = lines.length > NAMED ? NAMED - 1 : lines.length;
  const legend = lines.slice(0, shown).map(({ name }, number) => [look(number), name]);
  if (shown < lines.length) legend.push(['stroke="none"', `and ${lines.length - shown} more`]);
  legend.forEach(([style, name], number) => {
    const at = { x: round(x + 8 + (number % 2) * ((w - 12) / 2)), y: bottom + 29 + 14 * Math.floor(number / 2) };
    drawn.push(`<path d="M${at.x} ${at.y - 4}h18" stroke-width="2" ${style}/><text x="${at.x + 23}" y="${at.y}">${escape(short(name, 26))}</text>`);
  });
  return drawn;
}

/** Colour and dashes of a line, so that lines stay apart without colour as well. */
const look = (number) => `stroke="${COLOURS[number % COLOURS.length]}" stroke-dasharray="${DASHES[Math.floor(number / 2) % DASHES.length]}"`;
