// duramen for C: the verifier and the basic store. Written by cbindgen; bindings/c/README.md explains it.

#ifndef DURAMEN_H
#define DURAMEN_H

#include <stddef.h>
#include <stdint.h>

// The size that stands for the size of the tree at the moment of the call.
#define DURAMEN_NOW UINT64_MAX

// What every call returns. `duramen_last_error` has the sentence of what is not DURAMEN_OK.
enum duramen_status {
  // It is done, or verified.
  DURAMEN_OK = 0,
  // What the caller gave cannot be used.
  DURAMEN_INPUT = 1,
  // The proof or the signature does not hold, or cannot be read.
  DURAMEN_DOES_NOT_HOLD = 2,
  // The leaves are not durable within the time that the caller waits.
  DURAMEN_TIMEOUT = 3,
  // The store is open already, here or in another process.
  DURAMEN_LOCKED = 4,
  // There is no such store.
  DURAMEN_NOT_FOUND = 5,
  // The tree was made with other properties than those that were asked for.
  DURAMEN_MISMATCH = 6,
  // The tree has no such index or size, or what was there was erased, pruned or rewound.
  DURAMEN_NOT_THERE = 7,
  // A file of the store is missing, or its bytes are wrong.
  DURAMEN_DAMAGED = 8,
  // There is no room. Nothing was inserted; retry later.
  DURAMEN_BACKPRESSURE = 9,
  // The store is closed, poisoned, or of the process that this one was forked from.
  DURAMEN_UNUSABLE = 10,
  // A call to the operating system failed, or something else did: the sentence says it.
  DURAMEN_FAILED = 11,
  // A defect of duramen. What the call should have done may be done in part.
  DURAMEN_DEFECT = 12,
};

// An open store with the tree "main". The caller frees it with `duramen_close`. Any threads may use it at the same time.
struct duramen_store;

// The receipt of an insert: settled once the leaves are durable. The caller frees it, at any time, with `duramen_token_free`.
// Any thread may use it, also after the store was closed.
struct duramen_token;

// Size and root of a tree.
struct duramen_head {
  // How many leaves the tree has.
  uint64_t size;
  // Its root.
  uint8_t root[32];
};

// Bytes that duramen made. The caller frees them with `duramen_bytes_free`.
struct duramen_bytes {
  // Null if there are none.
  uint8_t *data;
  // How many bytes.
  size_t len;
};

// How a store is opened. All fields zero but `hasher` and `arity` are the usual ones.
struct duramen_options {
  // "blake3", "rfc6962-sha256" or "keccak256".
  const char *hasher;
  // 2, 4, 8 or 16.
  uint32_t arity;
  // 1 for a tree that keeps the data of its leaves, 0 for one that does not.
  uint8_t entries;
  // 1 if there must be a store already, 0 if a missing one is created.
  uint8_t existing;
  // 1 if leaves become durable only when a call asks for it, 0 if they do by themselves, within `flush_milliseconds`.
  uint8_t manual;
  // 0 for 10 milliseconds.
  uint64_t flush_milliseconds;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Verifies a checkpoint: one of `keys`, public texts of keys of the log, signed it for the log `origin`. Writes its head.
//
// # Safety
//
// The texts end with a zero, `key_count` of them are at `keys`; a head can be written at `head`, or it is null.
enum duramen_status duramen_verify_checkpoint(const char *note,
                                              const char *origin,
                                              const char *const *keys,
                                              size_t key_count,
                                              struct duramen_head *head);

// Verifies a checkpoint against a policy (C2SP `tlog-policy`): a log that it has signed it, and enough of its witnesses
// cosigned it. Writes its head.
//
// # Safety
//
// The texts end with a zero; a head can be written at `head`, or it is null.
enum duramen_status duramen_verify_witnessed(const char *note,
                                             const char *policy,
                                             struct duramen_head *head);

// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, 32 bytes, whose checkpoint one of `keys` signed for the log
// `origin`. Writes the head of the checkpoint and the index of the leaf.
//
// # Safety
//
// The texts end with a zero, `key_count` of them are at `keys`; 32 bytes can be read at `leaf`; a head and a number can be
// written at `head` and `index`, or they are null.
enum duramen_status duramen_verify_proof(const char *text,
                                         const char *origin,
                                         const char *const *keys,
                                         size_t key_count,
                                         const uint8_t *leaf,
                                         struct duramen_head *head,
                                         uint64_t *index);

// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, 32 bytes, whose checkpoint the policy accepts. Writes the head
// of the checkpoint and the index of the leaf.
//
// # Safety
//
// As `duramen_verify_proof`.
enum duramen_status duramen_verify_witnessed_proof(const char *text,
                                                   const char *policy,
                                                   const uint8_t *leaf,
                                                   struct duramen_head *head,
                                                   uint64_t *index);

// The sentence of the last call of this thread that was not DURAMEN_OK; empty if there was none. It belongs to duramen and
// stays until the next call of this thread fails.
const char *duramen_last_error(void);

// Frees bytes that duramen made. No bytes do nothing.
//
// # Safety
//
// `bytes` came from a call of duramen, unchanged, and was not freed.
void duramen_bytes_free(struct duramen_bytes bytes);

// Opens the store in the directory `path`, and writes its handle. Everything that it shows is durable.
//
// # Safety
//
// `path` is a text that ends with a zero, options are at `options`, and a pointer can be written at `store`.
enum duramen_status duramen_open(const char *path,
                                 const struct duramen_options *options,
                                 struct duramen_store **store);

// Makes everything durable, closes the store and frees the handle, whatever it returns. Null does nothing.
//
// # Safety
//
// `store` is null, or came from `duramen_open` and was not closed. No other thread uses it any more.
enum duramen_status duramen_close(struct duramen_store *store);

// Appends a leaf of 32 bytes, and writes its index and a token, which the caller frees. May wait for room.
//
// # Safety
//
// `store` is open; 32 bytes can be read at `leaf`; a number and a pointer can be written at `index` and `token`, or they are null.
enum duramen_status duramen_insert(const struct duramen_store *store,
                                   const uint8_t *leaf,
                                   uint64_t *index,
                                   struct duramen_token **token);

// Appends a leaf of 32 bytes, writes its index, and returns once it is durable. Threads that call this share fsyncs.
//
// # Safety
//
// As `duramen_insert`.
enum duramen_status duramen_insert_durable(const struct duramen_store *store,
                                           const uint8_t *leaf,
                                           uint64_t *index);

// Appends `count` leaves of 32 bytes that lie one after another, and writes the index of the first and a token, which the
// caller frees. They are read where they lie. After a crash all of them are there, or none.
//
// # Safety
//
// As `duramen_insert`, with `count` times 32 bytes at `leaves`, to which nobody writes meanwhile.
enum duramen_status duramen_insert_many(const struct duramen_store *store,
                                        const uint8_t *leaves,
                                        size_t count,
                                        uint64_t *first,
                                        struct duramen_token **token);

// Appends an entry to a tree that keeps entries, and writes its index and a token, which the caller frees.
//
// # Safety
//
// As `duramen_insert`, with `len` bytes at `entry`.
enum duramen_status duramen_insert_entry(const struct duramen_store *store,
                                         const uint8_t *entry,
                                         size_t len,
                                         uint64_t *index,
                                         struct duramen_token **token);

// Returns when everything inserted before the call is durable.
//
// # Safety
//
// `store` is open.
enum duramen_status duramen_flush(const struct duramen_store *store);

// Flushes, and writes what is new to a part, so that the next open does not replay it.
//
// # Safety
//
// `store` is open.
enum duramen_status duramen_checkpoint(const struct duramen_store *store);

// Writes the head of the tree when it had `size` leaves, or now for DURAMEN_NOW. A crash may undo leaves that are not
// durable: sign and publish `duramen_durable_head`.
//
// # Safety
//
// `store` is open; a head can be written at `head`.
enum duramen_status duramen_head_at(const struct duramen_store *store,
                                    uint64_t size,
                                    struct duramen_head *head);

// Writes the head of everything that is durable: no crash takes it back.
//
// # Safety
//
// As `duramen_head_at`.
enum duramen_status duramen_durable_head(const struct duramen_store *store, struct duramen_head *head);

// Writes the leaf at `index`: 32 bytes.
//
// # Safety
//
// `store` is open; 32 bytes can be written at `leaf`.
enum duramen_status duramen_leaf_at(const struct duramen_store *store, uint64_t index, uint8_t (*leaf)[32]);

// Writes the entry at `index`, which the caller frees.
//
// # Safety
//
// `store` is open; bytes can be written at `entry`.
enum duramen_status duramen_entry_at(const struct duramen_store *store,
                                     uint64_t index,
                                     struct duramen_bytes *entry);

// Writes the encoded proof that the leaf at `index` is in the tree of `size` leaves, or in the tree now for DURAMEN_NOW. The
// caller frees it.
//
// # Safety
//
// `store` is open; bytes can be written at `proof`.
enum duramen_status duramen_prove(const struct duramen_store *store,
                                  uint64_t index,
                                  uint64_t size,
                                  struct duramen_bytes *proof);

// Writes one encoded proof of the leaves at all `indexes`, as `duramen_prove` does for one.
//
// # Safety
//
// As `duramen_prove`, with `count` numbers at `indexes`.
enum duramen_status duramen_prove_many(const struct duramen_store *store,
                                       const uint64_t *indexes,
                                       size_t count,
                                       uint64_t size,
                                       struct duramen_bytes *proof);

// Writes the encoded proof that the tree of `old_size` leaves is a prefix of the tree of `new_size`, or of the tree now for
// DURAMEN_NOW. The caller frees it.
//
// # Safety
//
// As `duramen_prove`.
enum duramen_status duramen_prove_consistency(const struct duramen_store *store,
                                              uint64_t old_size,
                                              uint64_t new_size,
                                              struct duramen_bytes *proof);

// Waits until the leaves are durable, at most for so many milliseconds: DURAMEN_TIMEOUT if they are not by then. Waiting
// does not cause a flush.
//
// # Safety
//
// `token` came from an insert and was not freed.
enum duramen_status duramen_token_wait(const struct duramen_token *token,
                                       uint64_t milliseconds);

// Frees a token. The leaves become durable all the same. Null does nothing.
//
// # Safety
//
// `token` is null, or came from an insert and was not freed.
void duramen_token_free(struct duramen_token *token);

// Writes the leaf of raw data: 32 bytes. The hash functions are "blake3", "rfc6962-sha256" and "keccak256".
//
// # Safety
//
// `hasher` is a text that ends with a zero, `len` bytes can be read at `data`, and 32 written at `leaf`.
enum duramen_status duramen_leaf(const char *hasher, const uint8_t *data, size_t len, uint8_t (*leaf)[32]);

// Verifies an encoded proof that `leaf`, 32 bytes, is at `index` in the tree of `head`. The arity is 2, 4, 8 or 16.
//
// # Safety
//
// `hasher` is a text that ends with a zero; a head, 32 bytes and `proof_len` bytes can be read at the others.
enum duramen_status duramen_verify_inclusion(const char *hasher,
                                             uint32_t arity,
                                             const struct duramen_head *head,
                                             uint64_t index,
                                             const uint8_t *leaf,
                                             const uint8_t *proof,
                                             size_t proof_len);

// Verifies an encoded proof that `count` leaves are in the tree of `head`: `leaves` has 32 bytes for each of `indexes`.
//
// # Safety
//
// `hasher` is a text that ends with a zero; a head, `count` numbers, `count` times 32 bytes and `proof_len` bytes can be read
// at the others.
enum duramen_status duramen_verify_multi(const char *hasher,
                                         uint32_t arity,
                                         const struct duramen_head *head,
                                         const uint64_t *indexes,
                                         const uint8_t *leaves,
                                         size_t count,
                                         const uint8_t *proof,
                                         size_t proof_len);

// Verifies an encoded proof that the tree of `old_head` is a prefix of the tree of `new_head`.
//
// # Safety
//
// `hasher` is a text that ends with a zero; heads and `proof_len` bytes can be read at the others.
enum duramen_status duramen_verify_consistency(const char *hasher,
                                               uint32_t arity,
                                               const struct duramen_head *old_head,
                                               const struct duramen_head *new_head,
                                               const uint8_t *proof,
                                               size_t proof_len);

// Verifies an encoded proof of the tree `name` against the commitment to all trees of a store, 32 bytes, and writes the head of
// the tree. The tree must have this name, this hash function and this arity.
//
// # Safety
//
// `name` and `hasher` are texts that end with a zero; 32 and `proof_len` bytes can be read at `commitment` and `proof`; a head
// can be written at `head`.
enum duramen_status duramen_verify_tree(const uint8_t *commitment,
                                        const uint8_t *proof,
                                        size_t proof_len,
                                        const char *name,
                                        const char *hasher,
                                        uint32_t arity,
                                        struct duramen_head *head);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DURAMEN_H */
