/** Nothing that a terminal would obey: what is shown comes from anybody. Lines stay lines. */
// oxlint-disable-next-line no-control-regex
export const plain = (text: string): string => text.replaceAll(/[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+/g, ' ')

/** The same in one line. */
// oxlint-disable-next-line no-control-regex
export const oneLine = (text: string): string => text.replaceAll(/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+/g, ' ')
