// How the demo prints: colours on a terminal only, and never against NO_COLOR.
const colours = process.stdout.isTTY === true && !process.env.NO_COLOR;
const codes = { heading: '1', command: '36', note: '2', text: '' };

/** @param {string} text @param {keyof typeof codes} [as] */
export function say(text, as = 'text') {
  for (const line of text.split('\n'))
    console.log(colours && codes[as] ? `  \x1b[${codes[as]}m${line}\x1b[0m` : `  ${line}`);
}

/** @param {string} text */
export function heading(text) {
  console.log(colours ? `\n\x1b[${codes.heading}m${text}\x1b[0m` : `\n${text}`);
}

/** What the next command is for. @param {string} text */
export function note(text) {
  say(`# ${text}`, 'note');
}

/** A file and what there is to say of it. @param {string} name @param {string} what */
export function shown(name, what) {
  say(`${name.padEnd(28)} ${what}`);
}
