// Tests of one file may share daemons, as a user's mounts do, but not with files that run at the same time and kill theirs.
process.env['OVL_DAEMON'] = `test ${process.pid}`;
