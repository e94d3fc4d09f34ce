// Reads cases from the standard input, one a line, and verifies each through the header. c.rs writes them.

#include "duramen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *next_word;
static unsigned long line_number;

static void die(const char *why) {
    fprintf(stderr, "case %lu: %s: %s\n", line_number, why, duramen_last_error());
    exit(1);
}

static const char *word(void) {
    char *found = strtok_r(NULL, " \n", &next_word);
    if (found == NULL) die("a word is missing");
    return found;
}

static uint64_t number(void) {
    return strtoull(word(), NULL, 10);
}

// Bytes of hexadecimal digits with a zero behind them, so that they are a text as well. "-" is none.
static uint8_t *bytes(size_t *len) {
    const char *digits = word();
    size_t count = strcmp(digits, "-") == 0 ? 0 : strlen(digits) / 2;
    uint8_t *found = calloc(count + 1, 1);
    for (size_t at = 0; at < count; at++) {
        unsigned byte;
        if (sscanf(digits + 2 * at, "%2x", &byte) != 1) die("no hexadecimal digits");
        found[at] = (uint8_t)byte;
    }
    if (len != NULL) *len = count;
    return found;
}

static const char *text(void) {
    return (const char *)bytes(NULL);
}

static struct duramen_head head(void) {
    struct duramen_head found = {.size = number()};
    uint8_t *root = bytes(NULL);
    memcpy(found.root, root, 32);
    free(root);
    return found;
}

// Whether a call that must hold does, and one that must not does not, with a sentence.
static void expect(int holds, enum duramen_status status) {
    if (holds && status != DURAMEN_OK) die("refused");
    if (!holds && status == DURAMEN_OK) die("accepted");
    if (!holds && status != DURAMEN_DOES_NOT_HOLD && status != DURAMEN_INPUT) die("another status");
    if (!holds && strlen(duramen_last_error()) < 5) die("no sentence");
}

static void expect_head(int holds, struct duramen_head found, struct duramen_head expected) {
    if (holds && (found.size != expected.size || memcmp(found.root, expected.root, 32) != 0)) die("another head");
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    unsigned long accepted = 0, refused = 0;
    while (getline(&line, &room, stdin) > 0) {
        line_number++;
        const char *kind = strtok_r(line, " \n", &next_word);
        int holds = number() != 0;
        size_t len;
        if (strcmp(kind, "leaf") == 0) {
            const char *hasher = word();
            uint8_t *data = bytes(&len), *expected = bytes(NULL), leaf[32];
            expect(holds, duramen_leaf(hasher, data, len, &leaf));
            if (memcmp(leaf, expected, 32) != 0) die("another leaf");
            free(data), free(expected);
        } else if (strcmp(kind, "inclusion") == 0) {
            const char *hasher = word();
            uint32_t arity = (uint32_t)number();
            struct duramen_head trusted = head();
            uint64_t index = number();
            uint8_t *leaf = bytes(NULL), *proof = bytes(&len);
            expect(holds, duramen_verify_inclusion(hasher, arity, &trusted, index, leaf, proof, len));
            free(leaf), free(proof);
        } else if (strcmp(kind, "consistency") == 0) {
            const char *hasher = word();
            uint32_t arity = (uint32_t)number();
            struct duramen_head old_head = head(), new_head = head();
            uint8_t *proof = bytes(&len);
            expect(holds, duramen_verify_consistency(hasher, arity, &old_head, &new_head, proof, len));
            free(proof);
        } else if (strcmp(kind, "multi") == 0) {
            const char *hasher = word();
            uint32_t arity = (uint32_t)number();
            struct duramen_head trusted = head();
            size_t count = number();
            uint64_t *indexes = calloc(count, sizeof *indexes);
            uint8_t *leaves = calloc(count, 32);
            for (size_t at = 0; at < count; at++) {
                indexes[at] = number();
                uint8_t *leaf = bytes(NULL);
                memcpy(leaves + 32 * at, leaf, 32);
                free(leaf);
            }
            uint8_t *proof = bytes(&len);
            expect(holds, duramen_verify_multi(hasher, arity, &trusted, indexes, leaves, count, proof, len));
            free(indexes), free(leaves), free(proof);
        } else if (strcmp(kind, "tree") == 0) {
            uint8_t *commitment = bytes(NULL), *proof = bytes(&len);
            const char *name = text(), *hasher = word();
            uint32_t arity = (uint32_t)number();
            struct duramen_head expected = head(), found;
            expect(holds, duramen_verify_tree(commitment, proof, len, name, hasher, arity, &found));
            expect_head(holds, found, expected);
            expect(0, duramen_verify_tree(commitment, proof, len, "another", hasher, arity, &found));
            free(commitment), free(proof), free((void *)name);
        } else {
            // Texts, with keys or with a policy.
            int with_keys = strcmp(kind, "checkpoint") == 0 || strcmp(kind, "proof") == 0;
            int of_leaf = strcmp(kind, "proof") == 0 || strcmp(kind, "witnessed_proof") == 0;
            const char *signed_text = text(), *trusted = text(), *keys[8];
            size_t count = with_keys ? number() : 0;
            if (count > 8) die("too many keys");
            for (size_t at = 0; at < count; at++) keys[at] = text();
            uint8_t *leaf = of_leaf ? bytes(NULL) : NULL;
            uint64_t index = of_leaf ? number() : 0, found_index = 0;
            struct duramen_head expected = head(), found;
            enum duramen_status status;
            if (with_keys && of_leaf)
                status = duramen_verify_proof(signed_text, trusted, keys, count, leaf, &found, &found_index);
            else if (with_keys)
                status = duramen_verify_checkpoint(signed_text, trusted, keys, count, &found);
            else if (of_leaf)
                status = duramen_verify_witnessed_proof(signed_text, trusted, leaf, &found, &found_index);
            else
                status = duramen_verify_witnessed(signed_text, trusted, &found);
            expect(holds, status);
            expect_head(holds, found, expected);
            if (holds && found_index != index) die("another index");
            free((void *)signed_text), free((void *)trusted), free(leaf);
            for (size_t at = 0; at < count; at++) free((void *)keys[at]);
        }
        if (holds) accepted++;
        else refused++;
    }
    free(line);
    printf("%lu accepted, %lu refused\n", accepted, refused);
    return 0;
}
