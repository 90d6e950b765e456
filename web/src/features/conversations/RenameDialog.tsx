import { Button, Group, TextInput } from "@mantine/core"
import { useState } from "react"
import { ActButton } from "../../ui/ActButton"
import { useRenameGroup } from "./useRenameGroup"

export interface RenameDialogProps {
  id: string
  name: string
  onClose: () => void
}

/** Gives a group another name (E29). */
export function RenameDialog({ id, name, onClose }: RenameDialogProps) {
  const [next, setNext] = useState(name)
  const [error, setError] = useState<string>()
  const [renameGroup, isBusy] = useRenameGroup()
  const rename = async () => {
    if (next.trim() === name) {
      onClose()
      return
    }
    const { error } = await renameGroup({ conversationId: id, name: next.trim() })
    if (error) setError(error)
    else onClose()
  }
  return (
    <form
      className="question"
      onSubmit={(event) => {
        event.preventDefault()
        if (!isBusy && next.trim() !== "") void rename()
      }}
    >
      <TextInput
        label="Group name"
        value={next}
        onChange={(event) => {
          setNext(event.currentTarget.value)
          setError(undefined)
        }}
        onFocus={(event) => event.currentTarget.select()}
        error={error}
        maxLength={100}
        autoComplete="off"
        attributes={{ input: { dir: "auto" } }}
        data-autofocus
      />
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <ActButton type="submit" isBusy={isBusy} disabled={next.trim() === ""}>
          Rename
        </ActButton>
      </Group>
    </form>
  )
}
