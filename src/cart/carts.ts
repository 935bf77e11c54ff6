import { AppError } from '../lib/errors.ts'
import {
  addCode,
  addLines,
  clearLines,
  type Edit,
  type LineChange,
  removeCode,
  removeLine,
  setLine,
  setLines,
  type Wanted,
} from '../model/cart.ts'
import type { Limits } from '../model/limits.ts'
import type { Changed, CartWriter } from './cart-writer.ts'
import type { ChangeRequest } from './change-request.ts'
import type { GuestMerge } from './guest-merge.ts'
import { CartMerged, type EditCart, type CartEdit } from './prepare-write.ts'

/** Changes that shoppers make: each is one line over the writer. */
export type Carts = ReturnType<typeof createCarts>

interface CartsDeps {
  readonly writer: CartWriter
  readonly guestMerge: GuestMerge
  readonly limits: Limits
  /** A code as the shop wrote it, however it was typed. */
  codeAsWritten(code: string): Promise<string>
}

/** All edits throw as `CartWriter.change` does, and AppError `session_ended` for a guest's cart that was merged into an account. */
export function createCarts({ writer, guestMerge, limits, codeAsWritten }: CartsDeps) {
  async function change(request: ChangeRequest, edit: EditCart): Promise<Changed> {
    try {
      return await writer.change(request, edit)
    } catch (error) {
      if (!(error instanceof CartMerged)) throw error
      await guestMerge.finish(request.userId, error.userId)
      throw new AppError('session_ended', 'This cart was merged into an account; log in to see it.', { cause: error })
    }
  }

  function changeLines(request: ChangeRequest, edit: Edit, mustExist?: CartEdit['mustExist']): Promise<Changed> {
    return change(request, ({ lines }) => ({ lines: edit(lines), ...(mustExist ? { mustExist } : {}) }))
  }

  return {
    addLines: (request: ChangeRequest, wanted: readonly Wanted[], pointers: readonly string[]) =>
      changeLines(
        request,
        addLines(wanted, limits),
        wanted.map(({ sku }, at) => ({ sku, pointer: pointers[at] ?? '#' })),
      ),
    setLine: (request: ChangeRequest, sku: string, line: LineChange) =>
      changeLines(request, setLine(sku, line, limits), line.quantity ? [{ sku, pointer: '#/sku' }] : undefined),
    setLines: (request: ChangeRequest, changes: readonly (LineChange & { readonly sku: string })[]) =>
      changeLines(
        request,
        setLines(changes, limits),
        changes.flatMap(({ sku, quantity }, at) => (quantity ? [{ sku, pointer: `#/lines/${at}/sku` }] : [])),
      ),
    removeLine: (request: ChangeRequest, sku: string) => changeLines(request, removeLine(sku)),
    clear: (request: ChangeRequest) => changeLines(request, clearLines),
    async addCode(request: ChangeRequest, code: string): Promise<Changed> {
      const written = await codeAsWritten(code)
      return change(request, ({ lines, codes }) => ({ lines, codes: addCode(codes, written), mustKnow: written }))
    },
    removeCode: (request: ChangeRequest, code: string) =>
      change(request, ({ lines, codes }) => ({ lines, codes: removeCode(codes, code) })),
    undoMerge: (request: ChangeRequest) => guestMerge.undo(request),
  }
}
