// The browser's face of ovl: the core, with the memory layer as its upper.
export * from '@ovl/core';
