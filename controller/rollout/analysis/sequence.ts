/**
 * What a measurement says of the truth behind it, at any time: a confidence sequence. However often one looks while the
 * numbers come in, and whenever one stops, the truth is ever below `low(alpha)` with a probability of at most `alpha`,
 * and likewise above `high(alpha)`. (Of bounds for a fixed number of samples, looked at again and again, one would be
 * wrong sooner or later for certain.)
 */
export type Sequence = Readonly<{
  /** How often it was measured. */
  n: number
  value: number
  low(alpha: number): number
  high(alpha: number): number
}>
