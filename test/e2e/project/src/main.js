import ms from 'ms';
import semver from 'semver';
import { greeting } from './greeting.js';

console.log(`${greeting}: ${ms('2 days')} ${semver.inc('1.2.3', 'minor')}`);
