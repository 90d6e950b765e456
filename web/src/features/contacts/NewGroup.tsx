import { Button, Group, Input, TextInput } from "@mantine/core"
import { useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { ContactPicker } from "../../ui/ContactPicker"
import type { Choice } from "../../ui/PeoplePicker"
import { useCreateGroup } from "./useCreateGroup"

export interface NewGroupProps {
  onOpen: (conversationId: string) => void
  onBack: () => void
}

/** Makes a group of several contacts. It needs a name, under which it is found again (E1). */
export function NewGroup({ onOpen, onBack }: NewGroupProps) {
  const [picked, setPicked] = useState<Choice[]>([])
  const [name, setName] = useState("")
  const [refusal, setRefusal] = useState<{ error?: string; field?: string | undefined }>({})
  const [createGroup, isBusy] = useCreateGroup()
  const create = async () => {
    const { payload, ...refused } = await createGroup({ name: name.trim(), userIds: picked.map(({ id }) => id) })
    setRefusal(refused)
    if (payload?.group) onOpen(payload.group.id)
  }
  const isNameRefused = refusal.field === "name"
  return (
    <form
      className="new-group"
      onSubmit={(event) => {
        event.preventDefault()
        if (!isBusy && picked.length > 0 && name.trim() !== "") void create()
      }}
    >
      <ContactPicker
        picked={picked}
        onPick={(next) => {
          setPicked(next)
          if (!isNameRefused) setRefusal({})
        }}
      />
      {refusal.error && !isNameRefused && <Input.Error role="alert">{refusal.error}</Input.Error>}
      <TextInput
        label="Group name"
        value={name}
        onChange={(event) => {
          setName(event.currentTarget.value)
          if (isNameRefused) setRefusal({})
        }}
        error={isNameRefused && refusal.error}
        maxLength={100}
        autoComplete="off"
        attributes={{ input: { dir: "auto" } }}
      />
      <Group justify="space-between" gap="xs">
        <Button variant="default" onClick={onBack}>
          Back
        </Button>
        <ActButton type="submit" isBusy={isBusy} disabled={picked.length === 0 || name.trim() === ""}>
          Create group
        </ActButton>
      </Group>
    </form>
  )
}
