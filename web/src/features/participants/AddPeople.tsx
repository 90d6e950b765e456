import { Button, Group, Input, Radio } from "@mantine/core"
import { useRef, useState } from "react"
import type { AddOutcome, RevealedHistory } from "../../graphql/generated/graphql"
import { ActButton } from "../../ui/ActButton"
import { ContactPicker } from "../../ui/ContactPicker"
import type { Choice } from "../../ui/PeoplePicker"
import { texts } from "../../ui/texts"
import { useAddParticipants } from "./useAddParticipants"

export interface AddPeopleProps {
  conversationId: string
  /** Whether the clinic lets who adds somebody choose how much they see of what was said (E6). */
  history: boolean
  /** Hears a sentence for each person (S33). */
  onAdded: (sentences: string[]) => void
  onCancel: () => void
}

/** Adds people of the contact list to the group, several at once (S30-S33). */
export function AddPeople({ conversationId, history, onAdded, onCancel }: AddPeopleProps) {
  const [picked, setPicked] = useState<Choice[]>([])
  const [reveal, setReveal] = useState<RevealedHistory>("FROM_NOW")
  const [error, setError] = useState<string>()
  const box = useRef<HTMLInputElement>(null)
  const [addParticipants, isBusy] = useAddParticipants()
  const add = async () => {
    const { payload, error } = await addParticipants({
      conversationId,
      userIds: picked.map(({ id }) => id),
      ...(reveal !== "FROM_NOW" && { history: reveal }),
    })
    setError(error)
    if (!payload) return
    const names = new Map(picked.map(({ id, name }) => [id, name]))
    onAdded(payload.outcomes.map(({ userId, outcome }) => sentences(outcome)(names.get(userId) ?? "Somebody")))
    setPicked([])
    box.current?.focus() // nothing is left to add
  }
  return (
    <div className="add-people">
      <ContactPicker
        picked={picked}
        onPick={(next) => {
          setPicked(next)
          setError(undefined)
        }}
        notInConversation={conversationId}
        ref={box}
      />
      {history && (
        <Radio.Group
          label="History"
          value={reveal}
          onChange={(value) => setReveal(value === "ALL" ? "ALL" : "FROM_NOW")}
        >
          <Group gap="md" mt={6}>
            <Radio value="FROM_NOW" label="From now on" />
            <Radio value="ALL" label="All of it" />
          </Group>
        </Radio.Group>
      )}
      {error && <Input.Error role="alert">{error}</Input.Error>}
      <Group gap="xs" justify="flex-end">
        <Button size="xs" variant="default" onClick={onCancel}>
          Cancel
        </Button>
        <ActButton size="xs" isBusy={isBusy} disabled={picked.length === 0} onClick={() => void add()}>
          {texts.add}
        </ActButton>
      </Group>
    </div>
  )
}

/** What became of a person, as a sentence (E30). */
function sentences(outcome: AddOutcome): (name: string) => string {
  switch (outcome) {
    case "ADDED":
      return (name) => `${name} was added.`
    case "READDED":
      return (name) => `${name} was added again.`
    case "ALREADY_IN":
      return (name) => `${name} is already in the group.`
    case "NOT_IN_CONTACT_LIST":
      return (name) => `${name} is not in your contact list.`
    case "LIMIT":
      return (name) => `${name} was not added: the group is full.`
    default:
      return (name) => `${name} was not added.`
  }
}
