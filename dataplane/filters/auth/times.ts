/** The time in a claim (RFC 7519 section 2, NumericDate), in milliseconds since the epoch; undefined where it is none. */
export function timeOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value * 1000 : undefined
}
