/** How far two answers may differ and still be the same. */
export type Tolerance = Readonly<{
  /** Numbers that differ by no more are equal. */
  absolute: number
  /** Numbers that differ by no more than this part of the larger are equal; texts, by no more than this part of their words. */
  relative: number
}>

/** How far two numbers are apart: 0 where they count as equal, infinite where one is not finite and not the same as the other. */
export function apart(a: number, b: number, { absolute, relative }: Tolerance): number {
  if (a === b) return 0
  if (Number.isNaN(a) && Number.isNaN(b)) return 0
  if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.POSITIVE_INFINITY
  const distance = Math.abs(a - b)
  return distance <= absolute || distance <= relative * Math.max(Math.abs(a), Math.abs(b)) ? 0 : distance
}
