// Times are shown in the zone and by the habits of the person who looks.

const time = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" })
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" })
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" })
const dateAndYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" })
const wholeDate = new Intl.DateTimeFormat(undefined, {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
})
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" })
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" })

/** The time of day. */
export const timeOfDay = (at: string | Date) => time.format(new Date(at))

/** The date and time in full. */
export const inFull = (at: string | Date) => dateAndTime.format(new Date(at))

/** How many calendar days ago that was, in the person's zone. */
export function daysAgo(at: string | Date, now = new Date()) {
  const midnight = (day: Date) => new Date(day.getFullYear(), day.getMonth(), day.getDate(), 12).getTime()
  return Math.round((midnight(now) - midnight(new Date(at))) / 86_400_000)
}

/** When something was, as short as a list has room for. */
export function shortly(at: string, now = new Date()) {
  const then = new Date(at)
  const days = daysAgo(then, now)
  if (days <= 0) return time.format(then)
  if (days < 7) return weekday.format(then)
  return (then.getFullYear() === now.getFullYear() ? date : dateAndYear).format(then)
}

/** The line between the messages of two days. */
export function day(at: string, now = new Date()) {
  const days = daysAgo(at, now)
  if (days === 0 || days === 1) {
    const word = relative.format(-days, "day")
    return word.charAt(0).toLocaleUpperCase() + word.slice(1)
  }
  return wholeDate.format(new Date(at))
}

/** Whether two moments are on one day, in the person's zone. */
export const sameDay = (one: string, other: string) => daysAgo(one, new Date(other)) === 0
