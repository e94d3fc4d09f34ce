// What a program does with a store. The argument is a directory that does not exist yet.

#include "duramen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(status, call)                                                                     \
    do {                                                                                       \
        enum duramen_status got = (call);                                                      \
        if (got != (status)) {                                                                 \
            fprintf(stderr, "line %d: %d, %s\n", __LINE__, (int)got, duramen_last_error());    \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)
#define IS(condition)                                                     \
    do {                                                                  \
        if (!(condition)) {                                               \
            fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);   \
            exit(1);                                                      \
        }                                                                 \
    } while (0)

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    struct duramen_options options = {.hasher = "blake3", .arity = 4, .existing = 1};
    struct duramen_store *store = NULL;
    MUST(DURAMEN_NOT_FOUND, duramen_open(argv[1], &options, &store));
    IS(store == NULL && strstr(duramen_last_error(), argv[1]) != NULL);
    options.existing = 0;
    options.manual = 1;
    MUST(DURAMEN_OK, duramen_open(argv[1], &options, &store));
    struct duramen_store *second = NULL;
    MUST(DURAMEN_LOCKED, duramen_open(argv[1], &options, &second));

    uint8_t leaf[32] = {7}, many[1000 * 32] = {0};
    uint64_t index = 99;
    struct duramen_token *token;
    MUST(DURAMEN_OK, duramen_insert(store, leaf, &index, &token));
    IS(index == 0);
    MUST(DURAMEN_TIMEOUT, duramen_token_wait(token, 20));
    MUST(DURAMEN_OK, duramen_flush(store));
    MUST(DURAMEN_OK, duramen_token_wait(token, 0));
    duramen_token_free(token);
    MUST(DURAMEN_OK, duramen_insert_durable(store, leaf, &index));
    IS(index == 1);
    // What is not wanted is null.
    MUST(DURAMEN_OK, duramen_insert_many(store, many, 1000, &index, NULL));
    IS(index == 2);
    MUST(DURAMEN_OK, duramen_insert_many(store, NULL, 0, NULL, NULL));
    struct duramen_head past, durable, now;
    MUST(DURAMEN_OK, duramen_durable_head(store, &durable));
    MUST(DURAMEN_OK, duramen_head_at(store, DURAMEN_NOW, &now));
    MUST(DURAMEN_OK, duramen_head_at(store, 2, &past));
    IS(durable.size == 2 && now.size == 1002 && memcmp(durable.root, past.root, 32) == 0);

    struct duramen_bytes proof;
    MUST(DURAMEN_OK, duramen_prove(store, 0, DURAMEN_NOW, &proof));
    MUST(DURAMEN_OK, duramen_verify_inclusion("blake3", 4, &now, 0, leaf, proof.data, proof.len));
    MUST(DURAMEN_DOES_NOT_HOLD, duramen_verify_inclusion("blake3", 4, &past, 0, leaf, proof.data, proof.len));
    duramen_bytes_free(proof);
    uint64_t indexes[2] = {1, 0};
    uint8_t leaves[64];
    memcpy(leaves, leaf, 32), memcpy(leaves + 32, leaf, 32);
    MUST(DURAMEN_OK, duramen_prove_many(store, indexes, 2, 2, &proof));
    MUST(DURAMEN_OK, duramen_verify_multi("blake3", 4, &past, indexes, leaves, 2, proof.data, proof.len));
    duramen_bytes_free(proof);
    MUST(DURAMEN_OK, duramen_prove_consistency(store, 2, DURAMEN_NOW, &proof));
    MUST(DURAMEN_OK, duramen_verify_consistency("blake3", 4, &past, &now, proof.data, proof.len));
    duramen_bytes_free(proof);
    uint8_t read[32];
    MUST(DURAMEN_OK, duramen_leaf_at(store, 1, &read));
    IS(memcmp(read, leaf, 32) == 0);

    // What is wrong is a status, and nothing else.
    MUST(DURAMEN_NOT_THERE, duramen_prove(store, 5000, DURAMEN_NOW, &proof));
    MUST(DURAMEN_NOT_THERE, duramen_head_at(store, 5000, &past));
    MUST(DURAMEN_INPUT, duramen_insert(store, NULL, NULL, NULL));
    MUST(DURAMEN_INPUT, duramen_insert(NULL, leaf, NULL, NULL));
    MUST(DURAMEN_INPUT, duramen_insert_entry(store, leaf, 32, NULL, NULL));
    MUST(DURAMEN_INPUT, duramen_prove_many(store, NULL, 0, 2, &proof));
    MUST(DURAMEN_INPUT, duramen_prove(store, 0, 2, NULL));
    MUST(DURAMEN_INPUT, duramen_verify_inclusion("md5", 4, &now, 0, leaf, NULL, 0));
    MUST(DURAMEN_INPUT, duramen_verify_inclusion("blake3", 3, &now, 0, leaf, NULL, 0));
    MUST(DURAMEN_INPUT, duramen_verify_inclusion(NULL, 4, &now, 0, leaf, NULL, 0));
    MUST(DURAMEN_INPUT, duramen_verify_inclusion("\xff", 4, &now, 0, leaf, NULL, 0));
    MUST(DURAMEN_DOES_NOT_HOLD, duramen_verify_inclusion("blake3", 4, &now, 0, leaf, NULL, 0));

    // A token may be kept longer than the store, which closing makes durable.
    MUST(DURAMEN_OK, duramen_insert(store, leaf, &index, &token));
    MUST(DURAMEN_OK, duramen_checkpoint(store));
    MUST(DURAMEN_OK, duramen_close(store));
    MUST(DURAMEN_OK, duramen_token_wait(token, 1000));
    duramen_token_free(token);
    duramen_token_free(NULL);
    MUST(DURAMEN_OK, duramen_close(NULL));
    duramen_bytes_free((struct duramen_bytes){0});

    options.arity = 2;
    MUST(DURAMEN_MISMATCH, duramen_open(argv[1], &options, &store));
    options.arity = 4;
    options.existing = 1;
    MUST(DURAMEN_OK, duramen_open(argv[1], &options, &store));
    MUST(DURAMEN_OK, duramen_head_at(store, 1002, &past));
    IS(memcmp(past.root, now.root, 32) == 0);
    MUST(DURAMEN_OK, duramen_close(store));

    char entries[4096];
    snprintf(entries, sizeof entries, "%s-entries", argv[1]);
    struct duramen_options kept = {.hasher = "rfc6962-sha256", .arity = 2, .entries = 1};
    MUST(DURAMEN_OK, duramen_open(entries, &kept, &store));
    MUST(DURAMEN_OK, duramen_insert_entry(store, (const uint8_t *)"GET / 200", 9, &index, NULL));
    MUST(DURAMEN_OK, duramen_insert_entry(store, NULL, 0, NULL, NULL));
    struct duramen_bytes entry;
    MUST(DURAMEN_OK, duramen_entry_at(store, index, &entry));
    IS(entry.len == 9 && memcmp(entry.data, "GET / 200", 9) == 0);
    duramen_bytes_free(entry);
    MUST(DURAMEN_OK, duramen_entry_at(store, 1, &entry));
    IS(entry.len == 0 && entry.data == NULL);
    duramen_bytes_free(entry);
    MUST(DURAMEN_OK, duramen_leaf("rfc6962-sha256", (const uint8_t *)"GET / 200", 9, &leaf));
    MUST(DURAMEN_OK, duramen_leaf_at(store, 0, &read));
    IS(memcmp(read, leaf, 32) == 0);
    MUST(DURAMEN_OK, duramen_close(store));
    puts("ok");
    return 0;
}
