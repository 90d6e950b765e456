import { Loader, Pill, PillsInput } from "@mantine/core"
import { useMergedRef } from "@mantine/hooks"
import { type KeyboardEvent, type ReactNode, type Ref, useEffect, useId, useRef, useState } from "react"
import { texts } from "./texts"

export interface Choice {
  id: string
  name: string
  /** What stands beside the name: a role label, or how many participants. */
  label?: string | undefined
  /** What stands below: waiting rooms, participants. */
  detail?: string | undefined
  /** A word that marks it, such as Archived. */
  mark?: string | undefined
  /** Whether the person left it: it is greyed. */
  isLeft?: boolean
  picture?: ReactNode
}

export interface PeoplePickerProps {
  /** Sections with what was found. */
  sections: { name: string; choices: Choice[] }[]
  /** What that was found for. What is found for something else stays visible until the next is there. */
  foundFor: string | undefined
  /** What went wrong with the search, for a person. */
  error?: string | undefined
  /** Hears what is to be looked for, a moment after the last key. */
  onSearch: (query: string) => void
  onChoose: (choice: Choice) => void
  /** Shown as chips, when several can be picked. */
  picked?: Choice[]
  onUnpick?: (choice: Choice) => void
  autoFocus?: boolean
  ref?: Ref<HTMLInputElement>
  /** Asks for more than was found so far. */
  onMore?: (() => void) | undefined
}

/** One box for a name or an email address, and what is found below it (S15, S16). */
export function PeoplePicker(props: PeoplePickerProps) {
  const { sections, foundFor, error, onSearch, onChoose, picked = [], onUnpick, autoFocus, onMore, ref } = props
  const [text, setText] = useState("")
  const [pointed, setPointed] = useState<string>()
  const input = useRef<HTMLInputElement>(null)
  const merged = useMergedRef(input, ref)
  const listId = useId()
  const query = text.trim()
  useEffect(() => {
    const timer = setTimeout(() => onSearch(query), 150)
    return () => clearTimeout(timer)
  }, [query, onSearch])

  const isFresh = foundFor === query
  const chosen = new Set(picked.map((choice) => choice.id))
  const found = sections
    .map((section) => ({ ...section, choices: section.choices.filter((choice) => !chosen.has(choice.id)) }))
    .filter((section) => section.choices.length > 0)
  const all = found.flatMap((section) => section.choices)
  const isNothing = isFresh && !error && sections.every((section) => section.choices.length === 0)
  // The first one is ready for Enter, but only if it was found for what is in the box: who types fast gets nobody else.
  const first = query !== "" && isFresh ? all[0] : undefined
  const active = all.find((choice) => choice.id === pointed) ?? first
  const optionId = (choice: Choice) => `${listId}-${choice.id}`
  const activeId = active && optionId(active)
  useEffect(() => {
    const root = input.current?.getRootNode() as Document | ShadowRoot | undefined
    if (activeId) root?.getElementById(activeId)?.scrollIntoView({ block: "nearest" })
  }, [activeId])

  const write = (next: string) => {
    setText(next)
    setPointed(undefined)
  }
  const choose = (choice: Choice) => {
    if (onUnpick) write("") // with several to pick, the next one is looked for
    onChoose(choice)
  }
  const unpick = (choice: Choice) => {
    onUnpick?.(choice)
    input.current?.focus()
  }
  const point = (step: 1 | -1) => {
    const at = active ? all.indexOf(active) : step === 1 ? -1 : 0
    setPointed(all.at((at + step) % all.length)?.id)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return
    switch (event.key) {
      case "ArrowDown":
      case "ArrowUp":
        event.preventDefault()
        if (all.length > 0) point(event.key === "ArrowDown" ? 1 : -1)
        break
      case "Enter":
        event.preventDefault()
        if (active) choose(active)
        break
      case "Escape":
        if (text === "") return
        event.stopPropagation()
        write("")
        break
      case "Backspace": {
        const last = picked.at(-1)
        if (text === "" && last) unpick(last)
        break
      }
    }
  }

  return (
    <div className="picker">
      <PillsInput size="md" rightSection={isFresh || error ? null : <Loader size="xs" />}>
        <Pill.Group>
          {picked.map((choice) => (
            <Pill
              key={choice.id}
              size="md"
              withRemoveButton
              onRemove={() => unpick(choice)}
              removeButtonProps={{
                "aria-label": `Remove ${choice.name} from selection`,
                "aria-hidden": undefined,
                tabIndex: 0,
              }}
            >
              <bdi>{choice.name}</bdi>
            </Pill>
          ))}
          <PillsInput.Field
            ref={merged}
            value={text}
            onChange={(event) => write(event.currentTarget.value)}
            onKeyDown={onKeyDown}
            role="combobox"
            aria-label="Name or email address"
            aria-autocomplete="list"
            aria-expanded={all.length > 0}
            aria-controls={all.length > 0 ? listId : undefined}
            aria-activedescendant={activeId}
            placeholder={picked.length > 0 ? undefined : "Name or email address"}
            maxLength={100}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            dir="auto"
            autoFocus={autoFocus}
            data-autofocus={autoFocus || undefined}
          />
        </Pill.Group>
      </PillsInput>
      <div className="results">
        <div role="status" className="no-result">
          {error}
          {isNothing && query === "" && "There is nobody to choose from."}
          {isNothing && query !== "" && (
            <>
              <strong>{texts.noResult}</strong>
              <span>{texts.noResultMeans}</span>
            </>
          )}
        </div>
        {all.length > 0 && (
          <div role="listbox" id={listId} aria-label="Results" aria-busy={!isFresh}>
            {found.map((section) => (
              <div key={section.name} role="group" aria-label={section.name}>
                <div className="results-heading" aria-hidden="true">
                  {section.name}
                </div>
                {section.choices.map((choice) => (
                  <div
                    key={choice.id}
                    role="option"
                    id={optionId(choice)}
                    className={choice.isLeft ? "result left" : "result"}
                    aria-selected={choice === active}
                    onMouseDown={(event) => event.preventDefault()} // the focus stays in the box
                    onClick={() => choose(choice)}
                  >
                    {choice.picture}
                    <span className="result-text">
                      <bdi className="name">{choice.name}</bdi>{" "}
                      {choice.label && <span className="label">{choice.label}</span>}{" "}
                      {choice.mark && <span className="mark">{choice.mark}</span>}{" "}
                      {choice.detail && (
                        <span className="detail" dir="auto">
                          {choice.detail}
                        </span>
                      )}
                    </span>
                  </div>
                ))}
              </div>
            ))}
          </div>
        )}
        {onMore && (
          <button type="button" className="more-results" onClick={onMore}>
            Show more
          </button>
        )}
      </div>
    </div>
  )
}
