// What the benchmarks' command lines share: choosing from a list, and one line for wrong usage.

/** The names of a list with commas; undefined without one. Ends the process where one is not among `all`. */
export function chosen(list, all) {
  const names = list?.split(',');
  const unknown = names?.find((name) => !all.includes(name));
  return unknown === undefined ? names : fail(`no ${unknown}; there are ${all.join(', ')}`);
}

export function orFail(act) {
  try {
    return act();
  } catch (error) {
    return fail(error.message);
  }
}

export function fail(message) {
  console.error(`bench: ${message} (--help says more)`);
  process.exit(2);
}
