//! Faults, as the seed says: several at once, for a while, and then none, so that the cluster must come back.

use std::fmt;
use std::time::Duration;

use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{MemberAddRequest, MemberListRequest, MemberRemoveRequest, MoveLeaderRequest};
use tests_store::dice::Dice;
use tonic::Status;
use tonic::service::Routes;

use crate::ground::{Health, host};
use crate::invariants::Findings;
use crate::network::Place;
use crate::world::World;

/// How long a request of an operator may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each fault was injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Members killed, all at once included.
    pub kills: u64,
    /// Members stopped in order.
    pub stops: u64,
    /// Members held still.
    pub pauses: u64,
    /// Links cut, one direction each.
    pub cuts: u64,
    /// Times the network was slow.
    pub slow_networks: u64,
    /// Disks that were slow.
    pub slow_disks: u64,
    /// Disks that failed.
    pub failing_disks: u64,
    /// Leaders told to hand over.
    pub transfers: u64,
    /// Members replaced by new ones.
    pub replacements: u64,
    /// Bursts of load.
    pub bursts: u64,
}

impl Tally {
    /// Each of them, under its name.
    fn named(&self) -> [(u64, &'static str); 10] {
        let Self {
            kills,
            stops,
            pauses,
            cuts,
            slow_networks,
            slow_disks,
            failing_disks,
            transfers,
            replacements,
            bursts,
        } = *self;
        [
            (kills, "kills"),
            (stops, "stops"),
            (pauses, "pauses"),
            (cuts, "cuts"),
            (slow_networks, "slow networks"),
            (slow_disks, "slow disks"),
            (failing_disks, "failing disks"),
            (transfers, "transfers"),
            (replacements, "replacements"),
            (bursts, "bursts"),
        ]
    }

    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.named().iter().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.named().iter().map(|(count, name)| format!("{count} {name}")).collect();
        write!(f, "{} faults ({})", self.sum(), named.join(", "))
    }
}

/// Injects faults.
pub struct Nemesis {
    dice: Dice,
    /// What was done so far.
    pub tally: Tally,
}

impl Nemesis {
    /// Faults that come from `dice`.
    pub fn new(dice: Dice) -> Self {
        Self { dice, tally: Tally::default() }
    }

    fn place(&mut self, world: &World) -> Place {
        self.dice.below(world.members.len() as u64) as usize
    }

    /// Mostly the leader, whose loss is felt most.
    fn victim(&mut self, world: &World) -> Place {
        let leader = leader(world);
        if self.dice.below(2) == 0 { leader.unwrap_or_else(|| self.place(world)) } else { self.place(world) }
    }

    /// Injects one fault; whether clients are to be busier from now on.
    pub fn inflict(&mut self, world: &mut World) -> bool {
        match self.dice.below(24) {
            0..4 => {
                let place = self.victim(world);
                self.kill(world, place);
            }
            4 => {
                for place in 0..world.members.len() {
                    self.kill(world, place);
                }
            }
            5 => {
                let (place, other) = (self.place(world), self.place(world));
                self.kill(world, place);
                self.kill(world, other);
            }
            6 => {
                let place = self.victim(world);
                world.members[place].stop();
                self.tally.stops += 1;
            }
            7..10 => {
                let place = self.victim(world);
                tracing::info!(place, "nemesis: held still");
                world.members[place].still = true;
                self.tally.pauses += 1;
            }
            10..14 => self.isolate(world),
            14 => {
                let (from, to) = (self.place(world), self.place(world));
                self.cut(world, from, to);
            }
            15 => self.halve(world),
            16 => {
                let slowest = [100, 400, 1500][self.dice.below(3) as usize];
                world.switch.slow_down(slowest);
                self.tally.slow_networks += 1;
            }
            17..19 => {
                let place = self.victim(world);
                let most = [50, 500, 5000][self.dice.below(3) as usize];
                world.members[place].disk.set(Health::Slow(most));
                self.tally.slow_disks += 1;
            }
            19 => {
                let place = self.victim(world);
                tracing::info!(place, "nemesis: the disk fails");
                world.members[place].disk.set(Health::Failing);
                self.tally.failing_disks += 1;
            }
            20..22 => self.transfer(world),
            _ => {
                self.tally.bursts += 1;
                return true;
            }
        }
        false
    }

    fn kill(&mut self, world: &mut World, place: Place) {
        if world.members[place].is_up() {
            tracing::info!(place, "nemesis: killed");
            world.kill(place);
            self.tally.kills += 1;
        }
    }

    fn cut(&mut self, world: &World, from: Place, to: Place) {
        if from != to {
            tracing::info!(from, to, "nemesis: cut");
            world.switch.cut(from, to);
            self.tally.cuts += 1;
        }
    }

    /// One member from all others, in one direction or both.
    fn isolate(&mut self, world: &World) {
        let (place, way) = (self.victim(world), self.dice.below(3));
        for other in 0..world.members.len() {
            if way != 1 {
                self.cut(world, place, other);
            }
            if way != 0 {
                self.cut(world, other, place);
            }
        }
    }

    /// Two groups, without a bridge.
    fn halve(&mut self, world: &World) {
        let group: Vec<_> = (0..world.members.len()).map(|_| self.dice.below(2)).collect();
        for from in 0..group.len() {
            for to in 0..group.len() {
                if group[from] != group[to] {
                    self.cut(world, from, to);
                }
            }
        }
    }

    /// Tells the leader to hand over. It may refuse.
    fn transfer(&mut self, world: &mut World) {
        let (Some(from), to) = (leader(world), self.place(world)) else { return };
        let Some(target) = world.members[to].node().map(|node| node.identity.member_id) else { return };
        self.tally.transfers += 1;
        let doors = world.doors.clone();
        world.spawn(async move {
            let request = MoveLeaderRequest { target_id: target };
            doors
                .ask(from, PATIENCE, |routes| async move { MaintenanceClient::new(routes).move_leader(request).await })
                .await
        });
    }

    /// Ends every fault, and starts who is dead.
    pub fn heal(&mut self, world: &mut World) {
        world.switch.heal();
        for place in 0..world.members.len() {
            let member = &mut world.members[place];
            member.disk.set(Health::Fine);
            if member.still {
                member.still = false;
                // Stopped, its clock goes on; suspended with its machine, it does not.
                if self.dice.below(2) == 0 {
                    member.forget_missed();
                }
            }
            world.start(place);
        }
    }

    /// Replaces a member by a new one at the same place, as after the loss of a disk: the rest must do without it meanwhile.
    pub fn replace(&mut self, world: &mut World, findings: &Findings) {
        let place = self.place(world);
        let helper = (place + 1) % world.members.len();
        let Some(id) = world.members[place].node().map(|node| node.identity.member_id) else { return };
        // A learner counts for no majority yet: without it and without this one, there may be none.
        if !until(world, helper, settled) {
            findings.add(format!("a learner is not promoted in {:?}", 4 * PATIENCE));
            return;
        }
        tracing::info!(place, "nemesis: replaced");
        world.kill(place);
        let url = format!("http://{}:2380", host(place));
        if until(world, helper, move |routes| change(routes, id, url.clone())) {
            world.members[place].wipe().expect("the folder of a dead member can be removed");
            self.tally.replacements += 1;
        } else {
            findings.add(format!("member {place} is not replaced in {:?}", 4 * PATIENCE));
        }
        world.start(place);
    }
}

/// Asks a member again and again until it says yes; whether it did in time.
fn until<F>(world: &mut World, place: Place, ask: impl Fn(Routes) -> F + Send + Sync + 'static) -> bool
where
    F: Future<Output = Result<bool, Status>> + Send + 'static,
{
    let doors = world.doors.clone();
    let asked = world.spawn(async move {
        while !matches!(doors.ask(place, PATIENCE, &ask).await, Some(Ok(true))) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    world.wait(asked, 4 * PATIENCE).is_some()
}

/// Whether every member is a voter.
async fn settled(routes: Routes) -> Result<bool, Status> {
    let request = MemberListRequest { linearizable: true };
    let members = ClusterClient::new(routes).member_list(request).await?.into_inner().members;
    Ok(members.iter().all(|member| !member.is_learner))
}

/// Removes the member with an id, and adds one at its URL. Whether both is done.
async fn change(routes: Routes, id: u64, url: String) -> Result<bool, Status> {
    let mut cluster = ClusterClient::new(routes);
    let members = cluster.member_list(MemberListRequest { linearizable: true }).await?.into_inner().members;
    if members.iter().any(|member| member.id == id) {
        cluster.member_remove(MemberRemoveRequest { id }).await?;
    }
    let members = cluster.member_list(MemberListRequest { linearizable: true }).await?.into_inner().members;
    if !members.iter().any(|member| member.peer_ur_ls.contains(&url)) {
        cluster.member_add(MemberAddRequest { peer_ur_ls: vec![url], is_learner: false }).await?;
    }
    Ok(true)
}

/// The place of the member that leads, as it believes itself.
fn leader(world: &World) -> Option<Place> {
    world.members.iter().position(|member| member.node().is_some_and(|node| node.leading_term().is_some()))
}
