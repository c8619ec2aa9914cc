// SPDX-License-Identifier: EUPL-1.2
/**
 * The words of the safety code: 256, so that each stands for a byte. They are near enough the same in most languages of Europe,
 * are written without accents, and no two differ by a single letter, so that they survive a bad line. Their order is
 * part of the code: two clients with different lists would show different words.
 */
export const WORDS: readonly string[] = `
album alpha ananas anorak aorta arena aroma atlas atom aura azimut bagel ballet bambus bandana banjo bazar beret
bikini bingo bistro bonbon bonus bravo bronze cactus cafe camera canal casino cello chaos cinema cobra cola coral
cosmos delta diesel disco diva domino drama duet echo elan enigma epos essay euro fado fakir falafel farm film flora foto
gala galaxis garage gazelle gecko geyser gnu golf gondola gong guru habitat halo hamster hobby hockey hotel humor
hydra ibis icon idol igloo iguana indigo info jaguar jazz jeep jersey jogging judo jumbo jungle kajak karaoke karma
kebab ketchup kilo kimono kiosk kiwi koala kobalt krokus lagune lama lampion laser latte lemur lido logo lotus lyra
magma magnet mambo mandala mantra marina medal menu meteor metro mimosa mirage music nano nebula nectar neon neptun
ninja nomad nova nylon oasis oboe ocean octet ohm okapi olive omega onyx opera optik orbit orca oregano origami oscar
ozon pagoda panda panorama papaya paprika papyrus parade pasta patio pelikan pergola pesto piano pilot pinguin pizza
poker polka pony poster prisma pudding puma puzzle pyjama quark quasar quiz radar ragtime reggae robot rodeo rubin
rugby rumba safari saga salami samba satin sauna sepia serum shampoo sierra siesta ski slalom soda solo sonar sputnik
stadion studio sushi symbol taiga talisman tandem tango tapas tarot taxi tempo tennis terra tiara tiger tombola
tornado torso trio tuba tundra tunnel turbo ufo ultra uniform utopia vanilla veranda veto video viola vitamin vulkan
watt wigwam wombat xenon xylofon yak yeti yoga yucca zebra zenit zeppelin zero zigzag zodiak zoo
`.trim().split(/\s+/);
