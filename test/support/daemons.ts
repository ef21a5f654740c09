// Tests of one file may share daemons, as a user's mounts do, but not with files that run at the same time and kill theirs.
// Daemons are told apart by PATH, among others.
process.env['PATH'] = `${process.env['PATH']}:/nonexistent/ovl-test-${process.pid}`;
