// The ratios as a picture: what ours takes, in units of what its peers take, on a logarithmic scale; targets as marks. Its
// colours follow the reader's scheme, light or dark.

/**
 * What is drawn of a summary: bars for up to two columns of ratios, in the rows whose unit is among `units`.
 * @typedef {object} Drawing
 * @property {{ key: string, of: string, class: 'fo' | 'k', name: string }[]} series
 * @property {string[]} units
 */

/** @type {Drawing} Of mounts; memory is left to the table. */
export const ofMounts = {
  series: [
    { key: 'us/fo', of: 'fuse-overlayfs', class: 'fo', name: 'ovl’s time ÷ fuse-overlayfs’s' },
    { key: 'us/k', of: 'kernel', class: 'k', name: 'ovl’s time ÷ the kernel overlayfs’s' },
  ],
  units: ['s', 'MB/s', 'k/s'],
};

/** Between the names and the plot: the value of the shortest time stands there. */
const gutter = 46;
const left = 296 + gutter;
const width = 570;
const top = 92;
const rowHeight = 32;
const barHeight = 11;
const [least, most] = [1 / 32, 32];
const style = `
  svg { font: 12px system-ui, sans-serif; --back: #ffffff; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --fo: #3b6fd4; --k: #c77700; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --text: #f0f6fc; --soft: #9198a1; --line: #3d444d; --fo: #6f9dff; --k: #f0a93a; }
  }
  text { fill: var(--text); } .soft { fill: var(--soft); } .value { font-size: 10px; }
  .fo { fill: var(--fo); } .k { fill: var(--k); } .grid { stroke: var(--line); } .one { stroke: var(--soft); stroke-width: 1.5; }
  .target { stroke: var(--text); stroke-width: 2; }`;

/**
 * An SVG document of a summary (table.mjs). Figures whose target is no ratio are left to the table.
 * @param {any} summary
 * @param {Drawing} drawing
 */
export function draw({ rows, machine, date }, { series, units }) {
  const isRatio = ({ unit, ratios, target }) =>
    units.includes(unit) && series.some(({ key }) => ratios[key]) && !isAbsolute(target);
  const lines = rows.filter(isRatio);
  const bottom = top + lines.length * rowHeight;
  const legend = series.map(({ class: name, name: text }, i) => {
    const x = left + i * 240;
    return `<rect x="${x}" y="36" width="12" height="12" class="${name}"/><text x="${x + 18}" y="46">${text}</text>`;
  });
  const ticks = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32].map((value) => tick(value, bottom));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 50} ${bottom + 34}" role="img">
<title>ovl beside its peers: ratios of median times; left of the line at 1, ovl is the faster</title>
<style>${style}
</style>
<rect width="100%" height="100%" fill="var(--back)"/>
<text x="14" y="22" font-size="15" font-weight="600">ovl beside its peers</text>
<text x="${left}" y="22" class="soft">median times; left of 1, ovl is the faster; | is a target</text>
${[...legend, ...ticks, ...lines.map((line, i) => row(line, series, top + i * rowHeight))].join('\n')}
<text x="14" y="${bottom + 22}" class="soft value">${escape(`${date}, ${machine}`)}</text>
</svg>
`;
}

const isAbsolute = (target) => target?.bounds.every(({ of, figure }) => !of && !figure) ?? false;

function row({ label, ratios, target }, series, y) {
  const bars = series.filter(({ key }) => ratios[key]);
  const inset = (rowHeight - 4 - bars.length * barHeight) / 2;
  const parts = bars.map(({ key, of, class: name }, i) => {
    const from = y + inset + i * barHeight;
    const marks = (target?.bounds ?? []).filter((bound) => bound.of === of).map(placeOf);
    return bar(ratios[key], name, from, marks) + marks.map((x) => mark(x, from)).join('');
  });
  return `<text x="${left - gutter}" y="${y + 18}" text-anchor="end">${escape(label)}</text>${parts.join('')}`;
}

/** Its value stands behind a mark that would cross it. */
function bar(ratio, name, y, marks) {
  const [from, to] = [at(1), at(ratio)].toSorted((a, b) => a - b);
  const away = ratio < 1 ? -1 : 1;
  const end = ratio < 1 ? from : to;
  const crossed = marks.find((x) => (x - end) * away >= 0 && (x - end) * away < 32) ?? end;
  const beside = `x="${round(crossed + 4 * away)}" text-anchor="${ratio < 1 ? 'end' : 'start'}"`;
  return (
    `<rect x="${round(from)}" y="${y}" width="${round(Math.max(1, to - from))}" height="${barHeight - 1}" class="${name}"/>` +
    `<text ${beside} y="${y + 9}" class="value">${ratio < 0.1 ? ratio.toFixed(3) : ratio.toFixed(2)}</text>`
  );
}

/** Where the bar has to end. */
const placeOf = ({ kind, value }) => at(kind === 'atMost' ? value : 1 / value);

function mark(x, y) {
  return `<line x1="${round(x)}" x2="${round(x)}" y1="${y - 1.5}" y2="${y + barHeight + 0.5}" class="target"/>`;
}

function tick(value, bottom) {
  const x = round(at(value));
  const text = value < 1 ? `1/${1 / value}` : String(value);
  const line = `<line x1="${x}" x2="${x}" y1="${top - 8}" y2="${bottom}" class="${value === 1 ? 'one' : 'grid'}"/>`;
  return `${line}<text x="${x}" y="${top - 14}" text-anchor="middle" class="soft">${text}</text>`;
}

function at(ratio) {
  const clamped = Math.min(most, Math.max(least, ratio));
  return left + ((Math.log2(clamped) - Math.log2(least)) / (Math.log2(most) - Math.log2(least))) * width;
}

const round = (x) => Math.round(x * 10) / 10;

const escape = (text) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
