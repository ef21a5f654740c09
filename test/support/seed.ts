// Where random tests start. A gate has to give one answer for one commit, so with CI=true the seed is fixed; everywhere else
// each run tries something new. `OVL_SEED` repeats what a run printed.
const FIXED = 2026;

export function seedOfRun(): number {
  const { OVL_SEED, CI } = process.env;
  if (OVL_SEED !== undefined) return Number(OVL_SEED);
  return CI === 'true' ? FIXED : Math.floor(Math.random() * 0x7fffffff);
}
