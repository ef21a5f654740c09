/** `@ovl/core/quota`: limits to what an upper layer may hold. */
export type { QuotaLimits, Usage } from './account.js';
export { quota, QuotaLayer, type QuotaOptions } from './quota-layer.js';
