// The browser's face of ovl: the core, and the layers only a browser has.
export * from '@ovl/core';
