//! A policy as text.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::build::NONE;
use super::{Group, Member, Policy, Quorum};

impl Policy {
    /// The text of the policy, which [`read`](Self::read) reads as the same policy: logs, witnesses, groups and
    /// the quorum, a line each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for log in &self.logs {
            let key = log.key.to_string();
            line(&mut text, [b"log", key.as_bytes()].into_iter().chain(log.url.as_deref()));
        }
        for witness in &self.witnesses {
            let key = witness.key.to_string();
            let words = [b"witness", witness.name.as_slice(), key.as_bytes()];
            line(&mut text, words.into_iter().chain(witness.url.as_deref()));
        }
        for group in &self.groups {
            let members = group.members.iter().map(|member| self.name(*member));
            let threshold = threshold(group);
            line(
                &mut text,
                [b"group", group.name.as_slice(), &threshold].into_iter().chain(members),
            );
        }
        let quorum = match self.quorum {
            Quorum::None => NONE,
            Quorum::Of(member) => self.name(member),
        };
        line(&mut text, [b"quorum", quorum].into_iter());
        text
    }

    fn name(&self, member: Member) -> &[u8] {
        match member {
            Member::Witness(at) => self.witnesses.get(at).map(|witness| &witness.name),
            Member::Group(at) => self.groups.get(at).map(|group| &group.name),
        }
        // Members are there: a policy is made line by line.
        .map_or(NONE, Vec::as_slice)
    }
}

fn threshold(group: &Group) -> Vec<u8> {
    match group.threshold {
        1 => b"any".to_vec(),
        threshold if threshold == group.members.len() => b"all".to_vec(),
        threshold => threshold.to_string().into_bytes(),
    }
}

fn line<'a>(text: &mut Vec<u8>, words: impl Iterator<Item = &'a [u8]>) {
    for (at, word) in words.enumerate() {
        if at > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
    text.push(b'\n');
}
