//! A policy made line by line: every line is checked against those before it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::error::PolicyErrorKind as Kind;
use super::{Group, Member, Policy, PolicyLog, PolicyWitness, Quorum, shown};
use crate::tlog::key::{AnyVerifier, PublicKey};
use crate::tlog::key_type::KeyType;

/// The name that stands for no witness at all.
pub(super) const NONE: &[u8] = b"none";

/// What the lines so far say.
#[derive(Default)]
pub(super) struct Builder {
    logs: Vec<PolicyLog>,
    log_keys: BTreeSet<PublicKey>,
    witnesses: Vec<PolicyWitness>,
    witness_keys: BTreeSet<PublicKey>,
    groups: Vec<Group>,
    names: BTreeMap<Vec<u8>, Named>,
    quorum: Option<Quorum>,
    quorums: usize,
}

struct Named {
    member: Member,
    is_member: bool,
}

impl Builder {
    pub(super) fn log(&mut self, key: AnyVerifier, url: Option<Vec<u8>>) -> Result<(), Kind> {
        if !self.log_keys.insert(key.public_key()) {
            return Err(Kind::SameKey { what: "log" });
        }
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    pub(super) fn witness(
        &mut self,
        name: &[u8],
        key: AnyVerifier,
        url: Option<Vec<u8>>,
    ) -> Result<(), Kind> {
        let key_type = key.key_type();
        if key_type == KeyType::ED25519 {
            return Err(Kind::NotACosigner { key_type });
        }
        if !self.witness_keys.insert(key.public_key()) {
            return Err(Kind::SameKey { what: "witness" });
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness { name: name.to_vec(), key, url });
        Ok(())
    }

    pub(super) fn group(
        &mut self,
        name: &[u8],
        threshold: &[u8],
        members: &[&[u8]],
    ) -> Result<(), Kind> {
        let threshold = match threshold {
            b"all" => Some(members.len()),
            b"any" => Some(1),
            number => decimal(number),
        }
        .filter(|threshold| (1..=members.len()).contains(threshold))
        .ok_or_else(|| Kind::Threshold { found: shown(threshold), members: members.len() })?;
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let named = self.names.get_mut(*member);
            let named = named.ok_or_else(|| Kind::NotDefined { name: shown(member) })?;
            if core::mem::replace(&mut named.is_member, true) {
                return Err(Kind::MemberTwice { name: shown(member) });
            }
            found.push(named.member);
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_vec(), threshold, members: found });
        Ok(())
    }

    pub(super) fn quorum(&mut self, name: &[u8]) -> Result<(), Kind> {
        self.quorums += 1;
        if self.quorums > 1 {
            return Err(Kind::Quorum { found: self.quorums });
        }
        self.quorum = Some(match name {
            NONE => Quorum::None,
            name => {
                let named = self.names.get(name);
                Quorum::Of(named.ok_or_else(|| Kind::NotDefined { name: shown(name) })?.member)
            }
        });
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Policy, Kind> {
        let quorum = self.quorum.ok_or(Kind::Quorum { found: 0 })?;
        let Self { logs, witnesses, groups, .. } = self;
        Ok(Policy { logs, witnesses, groups, quorum })
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), Kind> {
        let is_new = name != NONE && !self.names.contains_key(name);
        if !is_new {
            return Err(Kind::DefinedTwice { name: shown(name) });
        }
        self.names.insert(name.to_vec(), Named { member, is_member: false });
        Ok(())
    }
}

impl Policy {
    /// The policy that asks for no witness and knows no log: one for [`with_log`](Self::with_log).
    #[must_use]
    pub const fn none() -> Self {
        Self { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: Quorum::None }
    }

    /// The policy that asks for any `threshold` of these witnesses and knows no log yet: see
    /// [`with_log`](Self::with_log). The witnesses get the names `w1`, `w2` and so on.
    ///
    /// ```
    /// use duramen::tlog::{Cosigner, Ed25519Key, Ed25519Signer, Policy};
    ///
    /// let witness = |n| Cosigner::new("w.example/1", Ed25519Key::from_secret(&[n; 32]));
    /// let keys = [witness(1)?.vkey().parse()?, witness(2)?.vkey().parse()?, witness(3)?.vkey().parse()?];
    /// let log = Ed25519Signer::from_secret("example.com/log", &[4; 32])?.verifier();
    /// let policy = Policy::threshold(2, keys)?.with_log(log.to_string().parse()?)?;
    /// assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PolicyErrorKind`](super::PolicyErrorKind) if there are fewer witnesses or `threshold` is 0, if two have the
    /// same public key, or if a key does not cosign.
    pub fn threshold(
        threshold: usize,
        witnesses: impl IntoIterator<Item = AnyVerifier>,
    ) -> Result<Self, Kind> {
        let mut builder = Builder::default();
        let mut names = Vec::new();
        for (number, key) in (1_usize..).zip(witnesses) {
            let name = alloc::format!("w{number}").into_bytes();
            builder.witness(&name, key, None)?;
            names.push(name);
        }
        let members: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        builder.group(b"quorum", alloc::format!("{threshold}").as_bytes(), &members)?;
        builder.quorum(b"quorum")?;
        builder.finish()
    }

    /// The same with one more log. The name of its key is its origin.
    ///
    /// # Errors
    ///
    /// [`PolicyErrorKind::SameKey`](super::PolicyErrorKind::SameKey) if a log has the same public key already.
    pub fn with_log(mut self, key: AnyVerifier) -> Result<Self, Kind> {
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err(Kind::SameKey { what: "log" });
        }
        self.logs.push(PolicyLog { key, url: None });
        Ok(self)
    }
}

/// A decimal number without leading zeros.
fn decimal(text: &[u8]) -> Option<usize> {
    let canonical = text.iter().all(u8::is_ascii_digit) && !text.starts_with(b"0");
    core::str::from_utf8(text).ok().filter(|_| canonical)?.parse().ok()
}
