/** Visible ASCII, and neither `.` nor `..`: a parser of addresses takes those out of a path, and another thing would be meant. */
export const CODE_FORM = /^(?!\.{1,2}$)[\x21-\x7e]+$/

/** Promotion codes are compared in this form: without outer spaces, in lower case. They are shown as the shop wrote them. */
export const codeForm = (code: string): string => code.trim().toLowerCase()
