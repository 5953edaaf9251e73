//! What is said: sentences of calls, put together by seed.

use super::sounds::Random;

const ENGLISH: [&str; 26] = [
    "Hello, this is Paul speaking.",
    "You have reached the voice mail of Doctor Moody.",
    "I am not available right now, please leave a message after the tone.",
    "Oh! Who knew you would do so?",
    "Mm-hm. Yes. Okay. I see.",
    "Could you call me back on oh seven, four four two, nine nine one?",
    "We are open from Monday to Friday, nine to five.",
    "Your call is important to us, please hold the line.",
    "Hmmmm, let me think about it.",
    "No, no, no! That is not what I ordered at all.",
    "The meeting was moved to room two hundred and twenty two.",
    "Oooooh, how beautiful!",
    "Press one for sales, press two for support, or stay on the line.",
    "Sorry, the line is bad, could you say that again?",
    "It was the best of times, it was the worst of times.",
    "Ha ha ha! You must be joking.",
    "Well, ummm, I do not know, maybe tomorrow, maybe not.",
    "Wooow. Really? Ooh la la.",
    "Seventeen, eighteen, nineteen, twenty.",
    "The quick brown fox jumps over the lazy dog.",
    "Please state your name and the reason for your call.",
    "Moo, said the cow. Boo, said the ghost.",
    "She sells sea shells on the sea shore.",
    "Are you still there? Hello? Hellooo?",
    "My e-mail is info at example dot com.",
    "Thank you very much, goodbye, bye bye.",
];

const FRENCH: [&str; 26] = [
    "Allô oui, bonjour.",
    "Vous êtes bien sur la messagerie de Monsieur Dupont.",
    "Je ne suis pas disponible, laissez un message après le bip sonore.",
    "Ouh là là, où êtes-vous ?",
    "Mmm. Oui. D'accord. Je vois.",
    "Rappelez-moi au zéro six, douze, trente-quatre, cinquante-six.",
    "Nous sommes ouverts du lundi au vendredi, de neuf heures à dix-huit heures.",
    "Votre appel est important, merci de patienter.",
    "Euuuh, je ne sais pas, il faut que je réfléchisse.",
    "Non, non, non, ce n'est pas du tout ce que j'ai commandé !",
    "La réunion aura lieu en salle deux cent vingt-deux.",
    "Oooh, que c'est beau !",
    "Pour le service commercial, tapez un, pour le support, tapez deux.",
    "Pardon, la ligne est mauvaise, vous pouvez répéter ?",
    "Longtemps, je me suis couché de bonne heure.",
    "Ha ha ha ! Vous plaisantez, j'espère.",
    "Ben, heu, peut-être demain, peut-être pas.",
    "Ouiii ! Youhouuu ! Super !",
    "Dix-sept, dix-huit, dix-neuf, vingt.",
    "Portez ce vieux whisky au juge blond qui fume.",
    "Veuillez dire votre nom et l'objet de votre appel.",
    "Meuh, dit la vache. Hou hou, fait le hibou.",
    "Les chaussettes de l'archiduchesse sont-elles sèches ?",
    "Vous êtes toujours là ? Allô ? Allôôô ?",
    "Mon adresse est contact arobase exemple point f r.",
    "Merci beaucoup, au revoir, bonne journée.",
];

/// Held by the voice: the vowels and hums of espeak-ng's phonemes.
const HELD: [&str; 5] = [
    "[[a::::]]",
    "[[i::::]]",
    "[[u::::]]",
    "[[o::::]]",
    "[[m::::]]",
];

/// About twenty seconds of speech.
pub fn text(french: bool, random: &mut Random) -> String {
    let sentences: &[&str] = if french { &FRENCH } else { &ENGLISH };
    let mut text = String::new();
    for _ in 0..8 {
        let sentence = match random.unit() {
            u if u < 0.1 => random.pick(&HELD),
            _ => random.pick(sentences),
        };
        text.push_str(sentence);
        text.push(' ');
    }
    text
}
