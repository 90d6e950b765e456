import { Avatar, Indicator } from "@mantine/core"

const initials = (name: string) => {
  const words = name.split(/\s+/).filter(Boolean)
  const letter = (word?: string) => Array.from(word ?? "")[0] ?? ""
  return (letter(words[0]) + (words.length > 1 ? letter(words.at(-1)) : "")).toLocaleUpperCase()
}

/** The picture of a person or group: initials, and a dot while they are available (E45). */
export function Portrait({ name, isAvailable, isGroup }: { name: string; isAvailable?: boolean; isGroup?: boolean }) {
  return (
    <Indicator
      disabled={!isAvailable}
      color="green.8"
      position="bottom-end"
      offset={4}
      size={10}
      withBorder
      aria-hidden="true"
    >
      <Avatar
        radius={isGroup ? "md" : "xl"}
        size={36}
        color="initials"
        name={name}
        variant="light"
        className="portrait"
      >
        {initials(name)}
      </Avatar>
    </Indicator>
  )
}
