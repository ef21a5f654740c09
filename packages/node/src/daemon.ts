/**
 * The process behind mounts. Its serving thread takes as long to start as the process itself, so it does that first of all,
 * and loads the rest meanwhile.
 */
import { startAhead } from './fuse/start-thread.js';

startAhead();
void import('./mount-host.js').then(({ host }) => host());
