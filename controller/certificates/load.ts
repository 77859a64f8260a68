/** The library behind it takes 0.3 s and 40 MB to load, which only those pay who have certificates made. */
export const loadIssue = () => import('./issue.ts')
