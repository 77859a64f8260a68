/** What usage can be summed by. */
export const dimensions = ['consumer', 'tier', 'route', 'rule', 'variant', 'model', 'version', 'status', 'code', 'day', 'month'] as const
export type Dimension = (typeof dimensions)[number]
export const isDimension = (name: string): name is Dimension => dimensions.some((one) => one === name)
