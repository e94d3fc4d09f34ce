// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// @title Proofs of duramen trees with the hash function `keccak256`
/// @notice Size and root are what the caller trusts. A proof holds hashes only and says nothing about itself.
/// @dev `bits` is the arity as a power of two: 1, 2, 3 or 4 for the arities 2, 4, 8 and 16. A node is the hash of its children side
/// by side. The last group of a level may be short, and a child that is alone is its own parent: a LeanIMT. Sizes have 64 bits
/// and are computed with in 256, so that nothing overflows.
library DuramenProof {
    /// The bytes before the sizes in the encoding of a proof under keccak256: magic, version, kind, arity, and the function's name.
    uint256 private constant HEADER = 17;
    uint256 private constant HASHES = HEADER + 16;

    /// The leaf of raw data. The two rounds keep data from being taken for children.
    function leafOf(bytes memory data) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(data)));
    }

    /// Whether `leaf` stands at `index` in the tree of `size` leaves with this root.
    /// @param siblings From the leaf up, within a level from left to right.
    function verifyInclusion(
        uint8 bits,
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leaf,
        bytes32[] calldata siblings
    ) internal pure returns (bool) {
        if (index >= size || bits == 0 || bits > 4) return false;
        if (bits == 1) return _includesPair(root, size, index, leaf, siblings);
        // Nothing here overflows: sizes have 64 bits, and a list that is longer than its call is refused before.
        unchecked {
            uint256 mask = (1 << uint256(bits)) - 1;
            uint256 at = index;
            uint256 len = size;
            uint256 used = 0;
            bytes32 node = leaf;
            while (len > 1) {
                uint256 own = at & mask;
                uint256 count = _groupLength(len, at - own, mask);
                if (count > 1) {
                    if (siblings.length - used < count - 1) return false;
                    node = _parent(siblings, used, own, count, node);
                    used += count - 1;
                }
                at >>= bits;
                len = (len + mask) >> bits;
            }
            return used == siblings.length && node == root;
        }
    }

    /// The same for arity 2, where a level has one sibling or none.
    function _includesPair(bytes32 root, uint256 len, uint256 at, bytes32 node, bytes32[] calldata siblings)
        private
        pure
        returns (bool)
    {
        unchecked {
            uint256 used = 0;
            while (len > 1) {
                if (at ^ 1 < len) {
                    if (used == siblings.length) return false;
                    assembly ("memory-safe") {
                        // The first two words of memory are for anybody's use. Ours is the second of the pair if its index is odd.
                        let place := shl(5, and(at, 1))
                        mstore(place, node)
                        mstore(xor(place, 32), calldataload(add(siblings.offset, shl(5, used))))
                        node := keccak256(0, 64)
                    }
                    used++;
                }
                at >>= 1;
                len = (len + 1) >> 1;
            }
            return used == siblings.length && node == root;
        }
    }

    /// Whether the tree of `oldSize` leaves is the beginning of the tree of `newSize` leaves. Every tree begins with the one of
    /// no leaves, whose root is zero.
    function verifyConsistency(
        uint8 bits,
        bytes32 oldRoot,
        uint64 oldSize,
        bytes32 newRoot,
        uint64 newSize,
        bytes32[] calldata hashes
    ) internal pure returns (bool) {
        if (oldSize > newSize || bits == 0 || bits > 4) return false;
        if (oldSize == 0 || oldSize == newSize) {
            if (hashes.length != 0 || (oldSize == 0 && oldRoot != bytes32(0))) return false;
            return oldSize != newSize || oldRoot == newRoot;
        }
        return _consistent(bits, oldRoot, oldSize, newRoot, newSize, hashes);
    }

    /// Both roots while the path goes up, and how many hashes were taken.
    struct Roots {
        bytes32 before;
        bytes32 beyond;
        uint256 used;
    }

    function _consistent(
        uint8 bits,
        bytes32 oldRoot,
        uint256 complete,
        bytes32 newRoot,
        uint256 len,
        bytes32[] calldata hashes
    ) private pure returns (bool) {
        unchecked {
            uint256 mask = (1 << uint256(bits)) - 1;
            // The path goes up from the lowest level on which the old tree has complete nodes only: above its last leaf.
            while (complete & mask == 0) {
                complete >>= bits;
                len = (len + mask) >> bits;
            }
            Roots memory roots = Roots(oldRoot, oldRoot, 0);
            // The proof has the first node of the path too, unless that is the old root.
            bool whole = complete != 1;
            uint256 at = complete - 1;
            while (len > 1) {
                uint256 own = at & mask;
                if (!_step(roots, hashes, own, _groupLength(len, at - own, mask), whole)) return false;
                whole = false;
                at >>= bits;
                len = (len + mask) >> bits;
            }
            return roots.used == hashes.length && roots.before == oldRoot && roots.beyond == newRoot;
        }
    }

    /// One level of the path, whose node is the `own`th of `count`. False if hashes are missing.
    function _step(Roots memory roots, bytes32[] calldata hashes, uint256 own, uint256 count, bool whole)
        private
        pure
        returns (bool)
    {
        unchecked {
            uint256 used = roots.used;
            uint256 taken = whole ? count : count - 1;
            if (hashes.length - used < taken) return false;
            if (whole) {
                roots.before = hashes[used + own];
                roots.beyond = count > 1 ? _all(hashes, used, count) : roots.before;
            } else if (count > 1) {
                roots.beyond = _parent(hashes, used, own, count, roots.beyond);
            }
            // In the old tree the group ends with the path's node.
            if (own > 0) roots.before = _parent(hashes, used, own, own + 1, roots.before);
            roots.used = used + taken;
            return true;
        }
    }

    /// The same as `verifyInclusion` for a proof in duramen's canonical encoding. It must be the encoding of a proof for this
    /// arity, size and index, byte for byte.
    function verifyEncodedInclusion(
        uint8 bits,
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leaf,
        bytes calldata proof
    ) internal pure returns (bool) {
        if (!_isEncoding(proof, 1, bits, size, index)) return false;
        return verifyInclusion(bits, root, size, index, leaf, _hashes(proof));
    }

    /// The same as `verifyConsistency` for a proof in duramen's canonical encoding.
    function verifyEncodedConsistency(
        uint8 bits,
        bytes32 oldRoot,
        uint64 oldSize,
        bytes32 newRoot,
        uint64 newSize,
        bytes calldata proof
    ) internal pure returns (bool) {
        if (!_isEncoding(proof, 2, bits, oldSize, newSize)) return false;
        return verifyConsistency(bits, oldRoot, oldSize, newRoot, newSize, _hashes(proof));
    }

    /// Whether `proof` begins as an encoding of this kind with these two numbers, and ends with whole hashes.
    function _isEncoding(bytes calldata proof, uint8 kind, uint8 bits, uint64 first, uint64 second)
        private
        pure
        returns (bool)
    {
        if (bits == 0 || bits > 4 || proof.length < HASHES || (proof.length - HASHES) % 32 != 0) return false;
        bytes memory begins = abi.encodePacked(
            "duPF", uint8(1), kind, uint8(1 << bits), uint8(9), "keccak256", _reversed(first), _reversed(second)
        );
        return keccak256(begins) == keccak256(proof[:HASHES]);
    }

    /// The hashes of an encoding, where they lie.
    function _hashes(bytes calldata proof) private pure returns (bytes32[] calldata hashes) {
        assembly ("memory-safe") {
            hashes.offset := add(proof.offset, 33)
            hashes.length := div(sub(proof.length, 33), 32)
        }
    }

    /// Little-endian, as the encoding has numbers.
    function _reversed(uint64 number) private pure returns (uint64 reversed) {
        for (uint256 byteAt = 0; byteAt < 8; byteAt++) {
            reversed = (reversed << 8) | (number & 0xff);
            number >>= 8;
        }
    }

    /// How many nodes the group has that begins at `first`, on a level of `len` nodes.
    function _groupLength(uint256 len, uint256 first, uint256 mask) private pure returns (uint256) {
        unchecked {
            uint256 rest = len - first;
            return rest > mask ? mask + 1 : rest;
        }
    }

    /// The hash of `count` children: `node` at `own`, the others from `hashes` at `from` on.
    /// @dev The caller has checked that they are there. The children are written behind the used memory, which stays free.
    function _parent(bytes32[] calldata hashes, uint256 from, uint256 own, uint256 count, bytes32 node)
        private
        pure
        returns (bytes32 parent)
    {
        assembly ("memory-safe") {
            let memory_ := mload(0x40)
            let source := add(hashes.offset, shl(5, from))
            let before := shl(5, own)
            calldatacopy(memory_, source, before)
            mstore(add(memory_, before), node)
            calldatacopy(add(add(memory_, before), 32), add(source, before), shl(5, sub(sub(count, own), 1)))
            parent := keccak256(memory_, shl(5, count))
        }
    }

    /// The hash of the `count` hashes at `from`.
    function _all(bytes32[] calldata hashes, uint256 from, uint256 count) private pure returns (bytes32 parent) {
        assembly ("memory-safe") {
            let memory_ := mload(0x40)
            calldatacopy(memory_, add(hashes.offset, shl(5, from)), shl(5, count))
            parent := keccak256(memory_, shl(5, count))
        }
    }
}

/// @title The library as a contract, for callers that are no contracts and for tests
contract DuramenVerifier {
    function verifyInclusion(
        uint8 bits,
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leaf,
        bytes32[] calldata siblings
    ) external pure returns (bool) {
        return DuramenProof.verifyInclusion(bits, root, size, index, leaf, siblings);
    }

    function verifyConsistency(
        uint8 bits,
        bytes32 oldRoot,
        uint64 oldSize,
        bytes32 newRoot,
        uint64 newSize,
        bytes32[] calldata hashes
    ) external pure returns (bool) {
        return DuramenProof.verifyConsistency(bits, oldRoot, oldSize, newRoot, newSize, hashes);
    }

    function verifyEncodedInclusion(
        uint8 bits,
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leaf,
        bytes calldata proof
    ) external pure returns (bool) {
        return DuramenProof.verifyEncodedInclusion(bits, root, size, index, leaf, proof);
    }

    function verifyEncodedConsistency(
        uint8 bits,
        bytes32 oldRoot,
        uint64 oldSize,
        bytes32 newRoot,
        uint64 newSize,
        bytes calldata proof
    ) external pure returns (bool) {
        return DuramenProof.verifyEncodedConsistency(bits, oldRoot, oldSize, newRoot, newSize, proof);
    }

    function leafOf(bytes calldata data) external pure returns (bytes32) {
        return DuramenProof.leafOf(data);
    }
}
