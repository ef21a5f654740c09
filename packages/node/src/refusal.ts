/** An FsError that also says what to do: for what keeps a layer from opening at all. */
import { type ErrorCode, FsError } from '@ovl/core';

export function refusal(code: ErrorCode, path: string, advice: string): FsError {
  const error = new FsError(code, { path });
  error.message += `: ${advice}`;
  return error;
}
