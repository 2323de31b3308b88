//! The loops of a function: its flow graph, who dominates whom, and which jumps lead back.
//!
//! A backward jump alone is no loop: cold paths stand behind the end of a function and jump back
//! into it. A jump to a block through which every way to that jump leads closes one.

use std::collections::{BTreeMap, BTreeSet};

use super::sass::{Flow, Function};

/// One natural loop.
#[derive(Debug, PartialEq)]
pub(super) struct Loop {
    /// The loops around it, the outermost first, and itself: counted from 1 by address.
    pub(super) path: Vec<usize>,
    /// Its instructions but those of the loops inside it, as indices into the function.
    pub(super) own: Vec<usize>,
    /// The number of all its instructions.
    pub(super) total: usize,
}

impl Loop {
    /// Its own place in the order of addresses, counted from 1.
    pub(super) fn number(&self) -> usize {
        self.path.last().copied().unwrap_or(0)
    }
}

/// The loops in the order of their first addresses.
pub(super) fn find(function: &Function) -> Vec<Loop> {
    if function.instructions.is_empty() {
        return Vec::new();
    }
    let graph = Graph::new(function);
    let parents = graph.immediate_dominators();
    let mut bodies: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (tail, heads) in graph.successors.iter().enumerate() {
        for &head in heads.iter().filter(|&&head| dominates(&parents, head, tail)) {
            // Two ways back to one block are one loop.
            bodies.entry(head).or_default().extend(graph.body(head, tail));
        }
    }
    let numbers: Vec<usize> = bodies.keys().copied().collect();
    let number = |head: &usize| numbers.partition_point(|other| other < head) + 1;
    let mut loops = Vec::new();
    for (head, body) in &bodies {
        let mut around: Vec<(&usize, usize)> = bodies
            .iter()
            .filter(|(_, other)| other.contains(head))
            .map(|(head, other)| (head, other.len()))
            .collect();
        around.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
        let inside = |block: &usize| {
            bodies.iter().any(|(other, inner)| {
                other != head && body.contains(other) && inner.contains(block)
            })
        };
        let instructions = |blocks: Vec<&usize>| -> Vec<usize> {
            blocks.into_iter().flat_map(|&block| graph.range(block)).collect()
        };
        loops.push(Loop {
            path: around.into_iter().map(|(head, _)| number(head)).collect(),
            own: instructions(body.iter().filter(|block| !inside(block)).collect()),
            total: instructions(body.iter().collect()).len(),
        });
    }
    loops
}

/// Basic blocks in the order of their addresses; block 0 is where a function starts.
struct Graph {
    /// The first instruction of each block, and the number of instructions at the end.
    starts: Vec<usize>,
    successors: Vec<Vec<usize>>,
    predecessors: Vec<Vec<usize>>,
}

impl Graph {
    fn new(function: &Function) -> Self {
        let instructions = &function.instructions;
        let place = |address: u64| instructions.binary_search_by_key(&address, |i| i.address).ok();
        let mut starts = BTreeSet::from([0, instructions.len()]);
        for (index, instruction) in instructions.iter().enumerate() {
            let flow = instruction.flow();
            if let Flow::Jump { target, .. } = flow {
                starts.extend(place(target));
            }
            if flow != Flow::Next {
                starts.insert(index + 1);
            }
        }
        let starts: Vec<usize> = starts.into_iter().collect();
        let blocks = starts.len() - 1;
        let block_at = |index: usize| starts.binary_search(&index).ok().filter(|&b| b < blocks);
        let mut successors = vec![Vec::new(); blocks];
        let mut predecessors = vec![Vec::new(); blocks];
        for block in 0..blocks {
            let end = starts[block + 1];
            let (jump, passes) = match instructions[end - 1].flow() {
                Flow::Next => (None, true),
                Flow::End => (None, false),
                Flow::Jump { target, may_pass } => (place(target).and_then(block_at), may_pass),
            };
            let next = if passes { block_at(end) } else { None };
            successors[block].extend(jump.into_iter().chain(next));
            for &successor in &successors[block] {
                predecessors[successor].push(block);
            }
        }
        Self { starts, successors, predecessors }
    }

    /// The instructions of a block.
    fn range(&self, block: usize) -> std::ops::Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }

    /// For each block the last one that every way to it passes; `None` when no way leads there.
    ///
    /// The algorithm of Cooper, Harvey and Kennedy: passes over the blocks until nothing changes.
    fn immediate_dominators(&self) -> Vec<Option<usize>> {
        let order = self.reverse_postorder();
        let mut rank = vec![usize::MAX; self.successors.len()];
        for (index, &block) in order.iter().enumerate() {
            rank[block] = index;
        }
        let mut parents: Vec<Option<usize>> = vec![None; self.successors.len()];
        parents[0] = Some(0);
        let mut changed = true;
        while changed {
            changed = false;
            for &block in &order[1..] {
                let known = self.predecessors[block].iter().filter(|&&p| parents[p].is_some());
                let common = known.copied().reduce(|a, b| common_dominator(&parents, &rank, a, b));
                changed |= parents[block] != common;
                parents[block] = common;
            }
        }
        parents
    }

    /// The blocks that can be reached, each before its successors but for ways back.
    fn reverse_postorder(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.successors.len()];
        seen[0] = true;
        let mut stack = vec![(0, 0)];
        while let Some((block, next)) = stack.pop() {
            match self.successors[block].get(next) {
                Some(&successor) => {
                    stack.push((block, next + 1));
                    if !std::mem::replace(&mut seen[successor], true) {
                        stack.push((successor, 0));
                    }
                }
                None => order.push(block),
            }
        }
        order.reverse();
        order
    }

    /// The blocks from which `tail` is reached without passing `head`, and `head`.
    fn body(&self, head: usize, tail: usize) -> BTreeSet<usize> {
        let mut body = BTreeSet::from([head]);
        let mut pending = vec![tail];
        while let Some(block) = pending.pop() {
            if body.insert(block) {
                pending.extend(&self.predecessors[block]);
            }
        }
        body
    }
}

fn common_dominator(parents: &[Option<usize>], rank: &[usize], a: usize, b: usize) -> usize {
    let (mut a, mut b) = (a, b);
    while a != b {
        let deeper = if rank[a] > rank[b] { &mut a } else { &mut b };
        *deeper = parents[*deeper].unwrap_or(0);
    }
    a
}

/// Whether every way to `block` passes `above`. A block that nothing reaches is dominated by none.
fn dominates(parents: &[Option<usize>], above: usize, block: usize) -> bool {
    let mut at = block;
    while let Some(parent) = parents[at] {
        if at == above {
            return true;
        }
        if parent == at {
            return false;
        }
        at = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::sass;

    /// A function with these instructions at 0x00, 0x10, 0x20 and so on.
    fn function(texts: &[&str]) -> Function {
        let lines: String = texts
            .iter()
            .enumerate()
            .map(|(index, text)| format!("        /*{:04x}*/    {text} ;\n", 16 * index))
            .collect();
        sass::parse(&format!("Function : f\n{lines}")).remove(0)
    }

    fn found(texts: &[&str]) -> Vec<(Vec<usize>, Vec<usize>, usize)> {
        find(&function(texts)).into_iter().map(|l| (l.path, l.own, l.total)).collect()
    }

    #[test]
    fn nested_loops_are_told_apart() {
        let nested = [
            "MOV R0, RZ",
            "LDG R1, [R2]",
            "FFMA R3, R1, R1, R3",
            "@P0 BRA 0x20",
            "STG [R2], R3",
            "@P1 BRA 0x10",
            "EXIT",
        ];
        assert_eq!(found(&nested), [(vec![1], vec![1, 4, 5], 5), (vec![1, 2], vec![2, 3], 2)]);
    }

    #[test]
    fn a_cold_path_that_jumps_back_is_part_of_its_loop_and_none_of_its_own() {
        let cold = [
            "MOV R0, RZ",
            "BRA.DIV UR4, 0x50",
            "SHFL.BFLY PT, R1, R0, 0x1, 0x1f",
            "@P0 BRA 0x10",
            "EXIT",
            "WARPSYNC.COLLECTIVE R4, 0x60",
            "SHFL.BFLY PT, R1, R0, 0x1, 0x1f",
            "BRA 0x30",
        ];
        assert_eq!(found(&cold), [(vec![1], vec![1, 2, 3, 5, 6, 7], 6)]);
        // The same without the loop.
        let mut straight = cold;
        straight[3] = "MOV R2, R1";
        assert_eq!(found(&straight), []);
    }

    #[test]
    fn two_ways_back_are_one_loop() {
        let continued =
            ["NOP", "FADD R0, R0, R1", "@P0 BRA 0x10", "FMUL R0, R0, R1", "@P1 BRA 0x10"];
        assert_eq!(found(&continued), [(vec![1], vec![1, 2, 3, 4], 4)]);
    }

    #[test]
    fn a_called_function_is_reached_and_its_loops_are_found() {
        let called = [
            "CALL.REL.NOINC 0x30",
            "@P0 BRA 0x0",
            "EXIT",
            "FADD R0, R0, R1",
            "@P1 BRA 0x30",
            "RET.REL.NODEC R4 0x0",
        ];
        assert_eq!(found(&called), [(vec![1], vec![0, 1], 2), (vec![2], vec![3, 4], 2)]);
    }

    #[test]
    fn a_function_without_instructions_has_no_loops() {
        assert_eq!(found(&["NOP"]), []);
    }
}
