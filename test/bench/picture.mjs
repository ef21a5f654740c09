// The ratios as a picture: a bar for each row, on a logarithmic scale, shorter is better.

const colours = { 'us/fo': '#4269d0', 'us/k': '#efb118' };
const names = { 'us/fo': 'of fuse-overlayfs’s time', 'us/k': 'of the kernel overlayfs’s time' };
const left = 260;
const width = 560;
const [least, most] = [1 / 16, 16];

/** An SVG document of a summary (table.mjs). */
export function draw({ rows, machine, date }) {
  const lines = rows.filter(({ ratios }) => Object.keys(ratios).length > 0);
  const height = 70 + lines.length * 30 + 40;
  const bars = lines.map(({ label, ratios }, i) => bar(label, ratios, 64 + i * 30));
  const ticks = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16].map((value) => tick(value, height));
  const legend = Object.entries(names).map(
    ([key, name], i) =>
      `<rect x="${left + i * 230}" y="14" width="12" height="12" fill="${colours[key]}"/><text x="${left + 18 + i * 230}" y="24">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 60} ${height}" font-family="sans-serif" font-size="12" role="img">
<title>ovl beside its peers: ratios of median times, left of the line at 1 ovl is the faster</title>
<rect width="100%" height="100%" fill="#fff"/>
<g fill="#222">${legend.join('')}</g>
<g stroke="#ddd" fill="#666" text-anchor="middle">${ticks.join('')}</g>
${bars.join('\n')}
<text x="10" y="${height - 10}" fill="#666">${escape(`${date}, ${machine}`)}</text>
</svg>
`;
}

function bar(label, ratios, y) {
  const parts = Object.entries(ratios).map(([key, ratio], i) => {
    const [from, to] = [at(1), at(ratio)].toSorted((a, b) => a - b);
    const value = `<text x="${ratio < 1 ? from - 4 : to + 4}" y="${y + 9 + i * 11}" font-size="10" fill="#222" text-anchor="${ratio < 1 ? 'end' : 'start'}">${ratio.toFixed(2)}</text>`;
    return `<rect x="${from.toFixed(1)}" y="${y + i * 11}" width="${Math.max(1, to - from).toFixed(1)}" height="10" fill="${colours[key]}"/>${value}`;
  });
  return `<text x="${left - 40}" y="${y + 14}" text-anchor="end" fill="#222">${escape(label)}</text>${parts.join('')}`;
}

function tick(value, height) {
  const x = at(value).toFixed(1);
  const text = value < 1 ? `1/${1 / value}` : String(value);
  const style = value === 1 ? ' stroke="#222"' : '';
  return `<line x1="${x}" x2="${x}" y1="52" y2="${height - 34}"${style}/><text x="${x}" y="46" stroke="none">${text}</text>`;
}

function at(ratio) {
  const clamped = Math.min(most, Math.max(least, ratio));
  return left + ((Math.log2(clamped) - Math.log2(least)) / (Math.log2(most) - Math.log2(least))) * width;
}

const escape = (text) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
